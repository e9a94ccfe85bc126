// SPDX-License-Identifier: MIT
// The head and the body of a request, parsed by Boost.Beast.
#pragma once

#include <boost/beast/http/basic_parser.hpp>

#include <cstdint>
#include <forward_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace http {

/// A request that is answered by an error, after which the connection ends: where the next request
/// would begin is not known.
struct BadRequest : std::runtime_error {
    BadRequest(int code, const char* reason) : std::runtime_error{reason}, status{code} {}
    int status;
};

/// The head of a request. Views into the text that was parsed.
struct Head {
    std::string_view method, target;
    bool is_http_1_0 = false;
    bool keep_alive = false;
    std::string_view accept_encoding, expect, range, if_range;
    std::string_view if_match, if_none_match, if_modified_since, if_unmodified_since;
};

/// Parses one request. The body is not kept: this server has no use for it, but must know where it
/// ends.
class RequestParser final : private boost::beast::http::basic_parser<true> {
  public:
    /// @throws BadRequest for everything by which two servers may disagree about where a request
    /// ends (both lengths, several, a coding that is not "chunked", a folded line) or to whom it
    /// goes, and for what this server does not speak: other versions, codings and expectations.
    const Head& parse_head(std::string_view text, std::uint64_t most_of_body);

    /// Whether nothing of the request is missing.
    bool is_done() const { return basic_parser::is_done(); }
    /// How many bytes follow as they are; 0: lines (the framing of a chunk) do.
    std::uint64_t raw_bytes_left() const;
    /// Takes what it can of the body and returns how much that was.
    std::size_t feed(std::string_view text);

  private:
    using Error = boost::beast::error_code;
    using View = boost::beast::string_view;
    void on_request_impl(boost::beast::http::verb, View method, View target, int version,
                         Error&) override;
    void on_response_impl(int, View, int, Error&) override {}
    void on_field_impl(boost::beast::http::field name, View name_text, View value,
                       Error& error) override;
    void on_header_impl(Error&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, Error&) override {}
    std::size_t on_body_impl(View body, Error&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t size, View, Error&) override { chunk_left_ = size; }
    std::size_t on_chunk_body_impl(std::uint64_t, View body, Error&) override {
        chunk_left_ -= body.size();
        return body.size();
    }
    void on_finish_impl(Error&) override {}

    std::string_view with_known_version(std::string_view text);
    void require_one_length() const;
    std::size_t put(std::string_view text);

    Head head_;
    std::string_view text_;
    std::string copy_;                      // of the text, with a version that the parser knows
    std::forward_list<std::string> lists_;  // those that stood on several lines
    std::string_view coding_;
    std::uint64_t chunk_left_ = 0;
    int hosts_ = 0, lengths_ = 0, codings_ = 0;
    bool closes_ = false;
};

}  // namespace http
