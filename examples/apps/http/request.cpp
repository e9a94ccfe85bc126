// SPDX-License-Identifier: MIT
#include "request.hpp"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <functional>

#include "text.hpp"

namespace http {

namespace beast = boost::beast::http;

namespace {

std::string_view std_view(boost::beast::string_view view) { return {view.data(), view.size()}; }

/// Beyond the end if the place lies elsewhere.
std::size_t offset_in(std::string_view text, const char* place) {
    const bool is_inside =
        !std::less<>{}(place, text.data()) && !std::less<>{}(text.data() + text.size(), place);
    return is_inside ? static_cast<std::size_t>(place - text.data()) : std::string_view::npos;
}

}  // namespace

void RequestParser::on_request_impl(beast::verb, View method, View target, int version, Error&) {
    head_.method = std_view(method);
    head_.target = std_view(target);
    head_.is_http_1_0 = version == 10;
}

void RequestParser::on_field_impl(beast::field name, View name_text, View value, Error& error) {
    if (is_header_done()) return;  // a trailer of a chunked body
    // What stood on several lines was put together elsewhere, or begins on the second one.
    const std::size_t value_at = offset_in(text_, value.data());
    const std::size_t name_at = offset_in(text_, name_text.data());
    if (value_at > text_.size() || name_at > value_at ||
        text_.substr(name_at, value_at - name_at).find('\n') != std::string_view::npos) {
        error = beast::error::bad_value;
        return;
    }
    std::string_view* place = nullptr;
    bool is_list = false;
    switch (name) {
        case beast::field::host:
            ++hosts_;
            if (!is_host(std_view(value))) error = beast::error::bad_value;
            return;
        case beast::field::connection:
            closes_ = closes_ || has_token(std_view(value), "close");
            return;
        case beast::field::content_length:
            lengths_ += 1 + static_cast<int>(std::count(value.begin(), value.end(), ','));
            return;
        case beast::field::transfer_encoding:
            ++codings_;
            coding_ = std_view(value);
            return;
        case beast::field::accept_encoding:
            place = &head_.accept_encoding;
            is_list = true;
            break;
        case beast::field::expect:
            place = &head_.expect;
            break;
        case beast::field::range:
            place = &head_.range;
            break;
        case beast::field::if_range:
            place = &head_.if_range;
            break;
        case beast::field::if_match:
            place = &head_.if_match;
            is_list = true;
            break;
        case beast::field::if_none_match:
            place = &head_.if_none_match;
            is_list = true;
            break;
        case beast::field::if_modified_since:
            place = &head_.if_modified_since;
            break;
        case beast::field::if_unmodified_since:
            place = &head_.if_unmodified_since;
            break;
        default:
            return;
    }
    if (place->empty()) {
        *place = std_view(value);
    } else if (is_list) {
        lists_.push_front(std::string{*place} + ", " + std::string{std_view(value)});
        *place = lists_.front();
    }
}

std::size_t RequestParser::put(std::string_view text) {
    Error error;
    const std::size_t taken =
        basic_parser::put(boost::asio::const_buffer{text.data(), text.size()}, error);
    if (!error || error == beast::error::need_more) return taken;
    if (error == beast::error::body_limit) throw BadRequest{413, "Content Too Large"};
    throw BadRequest{400, "Bad Request"};
}

const Head& RequestParser::parse_head(std::string_view text, std::uint64_t most_of_body) {
    text_ = text = with_known_version(text);
    header_limit(static_cast<std::uint32_t>(text.size() + 1));  // the reader has its own
    body_limit(most_of_body);
    if (put(text) != text.size() || !is_header_done()) throw BadRequest{400, "Bad Request"};
    if (hosts_ > 1 || (hosts_ == 0 && !head_.is_http_1_0)) throw BadRequest{400, "Bad Request"};
    require_one_length();
    if (head_.is_http_1_0) head_.expect = {};
    if (!head_.expect.empty() && !equals_ignoring_case(head_.expect, "100-continue")) {
        throw BadRequest{417, "Expectation Failed"};
    }
    head_.keep_alive = basic_parser::keep_alive() && !closes_;
    return head_;
}

void RequestParser::require_one_length() const {
    if (lengths_ > 1) throw BadRequest{400, "Bad Request"};
    if (codings_ == 0) return;
    if (codings_ > 1 || lengths_ > 0 || head_.is_http_1_0 || !chunked()) {
        throw BadRequest{400, "Bad Request"};
    }
    // The body is framed, but in a coding that this server does not know.
    if (!equals_ignoring_case(coding_, "chunked")) throw BadRequest{501, "Not Implemented"};
}

/// A version 1.x is the newest that the server speaks: RFC 9110, 6.2. The parser knows only 1.0 and
/// 1.1, so that another digit is replaced in a copy.
std::string_view RequestParser::with_known_version(std::string_view text) {
    const std::string_view line = text.substr(0, text.find("\r\n"));
    const std::string_view version = line.substr(line.rfind(' ') + 1);
    if (version.size() != 8 || !version.starts_with("HTTP/") || !http::is_digit(version[5]) ||
        version[6] != '.' || !http::is_digit(version[7])) {
        throw BadRequest{400, "Bad Request"};
    }
    if (version[5] != '1') throw BadRequest{505, "HTTP Version Not Supported"};
    if (version[7] <= '1') return text;
    copy_ = text;
    copy_[line.size() - 1] = '1';
    return copy_;
}

std::uint64_t RequestParser::raw_bytes_left() const {
    return chunked() ? chunk_left_ : content_length_remaining().value_or(0);
}

std::size_t RequestParser::feed(std::string_view text) { return put(text); }

}  // namespace http
