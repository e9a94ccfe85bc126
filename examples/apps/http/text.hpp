// SPDX-License-Identifier: MIT
// The small languages of HTTP: escaped paths, hosts, dates, lists, ranges.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace http {

/// The path of a request target, without its query and with its escapes resolved. Nothing if an
/// escape is none, or if it contains a zero.
std::optional<std::string> path_of(std::string_view target);
/// A name as it stands in a link.
std::string quote(std::string_view name);
/// A text as it stands in HTML.
std::string escape_html(std::string_view text);

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// `lower` is in small letters.
bool equals_ignoring_case(std::string_view text, std::string_view lower);
/// Whether one of a list is `lower`.
bool has_token(std::string_view list, std::string_view lower);
/// Whether it may be the value of a Host field: a name or an address, with a port or without, or
/// nothing.
bool is_host(std::string_view value);

/// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string date_text(std::time_t time);
/// The date of this second, which is put together once a second.
std::string_view date_now();
/// The three ways in which HTTP writes dates.
std::optional<std::time_t> parse_date(std::string_view text);

/// Whether the list of entity tags, or "*", has `tag`. With `is_weak`, W/"x" equals "x".
bool has_tag(std::string_view list, std::string_view tag, bool is_weak);
/// Whether a client takes gzip, by Accept-Encoding.
bool takes_gzip(std::string_view accept_encoding);

struct Range {
    std::uint64_t first = 0, last = 0;
};
enum class RangeKind : unsigned char {
    all,  ///< no range, or one that this server passes over
    part,
    unsatisfiable  ///< it begins beyond the end
};
/// A single range of bytes. Several are passed over, as RFC 9110 lets a server do.
RangeKind parse_range(std::string_view text, std::uint64_t size, Range& range);

}  // namespace http
