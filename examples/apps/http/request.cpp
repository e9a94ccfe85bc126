// SPDX-License-Identifier: MIT
#include "request.hpp"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <functional>

namespace http {

namespace beast = boost::beast::http;

namespace {

std::string_view std_view(boost::beast::string_view view) { return {view.data(), view.size()}; }

}  // namespace

void RequestParser::on_request_impl(beast::verb, View method, View target, int version, Error&) {
    head_.method = std_view(method);
    head_.target = std_view(target);
    head_.is_http_1_0 = version == 10;
}

void RequestParser::on_field_impl(beast::field name, View, View value, Error& error) {
    if (is_header_done()) return;  // a trailer of a chunked body
    // What stood on several lines was put together elsewhere.
    if (std::less<>{}(value.data(), text_.data()) ||
        std::less<>{}(text_.data() + text_.size(), value.data())) {
        error = beast::error::bad_value;
        return;
    }
    std::string_view* place = nullptr;
    switch (name) {
        case beast::field::host:
            ++hosts_;
            return;
        case beast::field::content_length:
            lengths_ += 1 + static_cast<int>(std::count(value.begin(), value.end(), ','));
            return;
        case beast::field::transfer_encoding:
            ++codings_;
            return;
        case beast::field::accept_encoding:
            place = &head_.accept_encoding;
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
            break;
        case beast::field::if_none_match:
            place = &head_.if_none_match;
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
    if (place->empty()) *place = std_view(value);
}

std::size_t RequestParser::put(std::string_view text) {
    Error error;
    const std::size_t taken =
        basic_parser::put(boost::asio::const_buffer{text.data(), text.size()}, error);
    if (!error || error == beast::error::need_more) return taken;
    if (error == beast::error::body_limit) throw BadRequest{413, "Content Too Large"};
    if (error == beast::error::bad_version) throw BadRequest{505, "HTTP Version Not Supported"};
    throw BadRequest{400, "Bad Request"};
}

const Head& RequestParser::parse_head(std::string_view text, std::uint64_t most_of_body) {
    text_ = text;
    header_limit(static_cast<std::uint32_t>(text.size() + 1));  // the reader has its own
    body_limit(most_of_body);
    if (put(text) != text.size() || !is_header_done()) throw BadRequest{400, "Bad Request"};
    if (hosts_ > 1 || (hosts_ == 0 && !head_.is_http_1_0)) throw BadRequest{400, "Bad Request"};
    if (codings_ > 0 && (codings_ > 1 || lengths_ > 0 || head_.is_http_1_0 || !chunked())) {
        throw BadRequest{400, "Bad Request"};
    }
    if (lengths_ > 1) throw BadRequest{400, "Bad Request"};
    head_.keep_alive = basic_parser::keep_alive();
    return head_;
}

std::uint64_t RequestParser::raw_bytes_left() const {
    return chunked() ? chunk_left_ : content_length_remaining().value_or(0);
}

std::size_t RequestParser::feed(std::string_view text) { return put(text); }

}  // namespace http
