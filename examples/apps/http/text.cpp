// SPDX-License-Identifier: MIT
#include "text.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>

namespace http {

namespace {

int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    const int letter = std::tolower(static_cast<unsigned char>(digit));
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

/// Which characters the name of a host may have: RFC 3986, 3.2.2, and "%" of an encoded one.
constexpr auto host_characters = [] {
    std::array<bool, 256> table{};
    for (const char c :
         std::string_view{"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                          "-._~%!$&'()*+,;="}) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}();

/// Takes the first member of a list that is separated by `separator`.
std::string_view take(std::string_view& list, char separator) {
    const std::size_t end = std::min(list.find(separator), list.size());
    const std::string_view member = trim(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    return member;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || end != text.data() + text.size()) return {};
    // A number too large for this type is beyond the end of every file.
    return error == std::errc::result_out_of_range ? std::numeric_limits<std::uint64_t>::max()
                                                   : number;
}

}  // namespace

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
    });
}

bool has_token(std::string_view list, std::string_view lower) {
    while (!list.empty()) {
        if (equals_ignoring_case(take(list, ','), lower)) return true;
    }
    return false;
}

bool is_host(std::string_view value) {
    std::size_t end = 0;  // of the name
    if (value.starts_with('[')) {
        end = value.find(']');
        if (end == std::string_view::npos) return false;
        const std::string address{value.substr(1, end - 1)};
        in6_addr parsed{};
        if (::inet_pton(AF_INET6, address.c_str(), &parsed) != 1) return false;
        ++end;
    } else {
        while (end < value.size() && host_characters[static_cast<unsigned char>(value[end])]) ++end;
    }
    if (end == value.size()) return true;
    return value[end] == ':' &&
           std::all_of(value.begin() + static_cast<std::ptrdiff_t>(end) + 1, value.end(), is_digit);
}

std::optional<std::string> path_of(std::string_view target) {
    // A proxy may be sent the whole address.
    if (const std::size_t scheme = target.find("://");
        scheme != std::string_view::npos && scheme < target.find('/')) {
        target.remove_prefix(scheme + 3);
        target.remove_prefix(std::min(target.find('/'), target.size()));
        if (target.empty()) return "/";
    }
    if (!target.starts_with('/')) return {};
    target = target.substr(0, target.find_first_of("?#"));
    std::string path;
    path.reserve(target.size());
    for (std::size_t i = 0; i < target.size(); ++i) {
        char c = target[i];
        if (c == '%') {
            const int high = i + 2 < target.size() ? hex_value(target[i + 1]) : -1;
            const int low = i + 2 < target.size() ? hex_value(target[i + 2]) : -1;
            if (high < 0 || low < 0) return {};
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (c == '\0') return {};
        path += c;
    }
    return path;
}

std::string quote(std::string_view name) {
    std::string quoted;
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 ||
            std::string_view{"-._~/"}.find(c) != std::string_view::npos) {
            quoted += c;
        } else {
            quoted += fmt::format("%{:02X}", byte);
        }
    }
    return quoted;
}

std::string escape_html(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

std::string date_text(std::time_t time) {
    std::tm utc{};
    ::gmtime_r(&time, &utc);
    std::array<char, 32> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %T GMT", &utc);
    return {text.data(), size};
}

std::string_view date_now() {
    thread_local std::time_t second = 0;
    thread_local std::string text;
    if (const std::time_t now = std::time(nullptr); now != second) {
        text = date_text(now);
        second = now;
    }
    return text;
}

std::optional<std::time_t> parse_date(std::string_view text) {
    const std::string copy{text};
    for (const char* const form :
         {"%a, %d %b %Y %T GMT", "%A, %d-%b-%y %T GMT", "%a %b %e %T %Y"}) {
        std::tm utc{};
        if (const char* const end = ::strptime(copy.c_str(), form, &utc); end && *end == '\0') {
            return ::timegm(&utc);
        }
    }
    return {};
}

bool has_tag(std::string_view list, std::string_view tag, bool is_weak) {
    if (trim(list) == "*") return true;
    while (!list.empty()) {  // no tag of this server has a comma in it
        std::string_view member = take(list, ',');
        if (is_weak && member.starts_with("W/")) member.remove_prefix(2);
        if (member == tag) return true;
    }
    return false;
}

bool takes_gzip(std::string_view accept_encoding) {
    while (!accept_encoding.empty()) {
        std::string_view member = take(accept_encoding, ',');
        if (!equals_ignoring_case(take(member, ';'), "gzip")) continue;
        const std::string_view weight = take(member, ';');
        // Refused by a weight of zero: "q=0", "q=0.0" and so on.
        return !(weight.starts_with("q=0") || weight.starts_with("Q=0")) ||
               weight.find_first_of("123456789") != std::string_view::npos;
    }
    return false;
}

RangeKind parse_range(std::string_view text, std::uint64_t size, Range& range) {
    if (text.size() < 6 || !equals_ignoring_case(text.substr(0, 6), "bytes=")) {
        return RangeKind::all;
    }
    text = trim(text.substr(6));
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos || text.find(',') != std::string_view::npos) {
        return RangeKind::all;
    }
    const auto first = parse_number(trim(text.substr(0, dash)));
    const auto last = parse_number(trim(text.substr(dash + 1)));
    const bool is_suffix = trim(text.substr(0, dash)).empty();
    const bool is_open = trim(text.substr(dash + 1)).empty();
    if (is_suffix) {  // the last so many bytes
        if (!last) return RangeKind::all;
        if (*last == 0 || size == 0) return RangeKind::unsatisfiable;
        range = {size - std::min(*last, size), size - 1};
        return RangeKind::part;
    }
    if (!first || (!last && !is_open) || (last && *last < *first)) return RangeKind::all;
    if (*first >= size) return RangeKind::unsatisfiable;
    range = {*first, std::min(last.value_or(size - 1), size - 1)};
    return RangeKind::part;
}

}  // namespace http
