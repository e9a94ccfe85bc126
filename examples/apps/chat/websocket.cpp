// SPDX-License-Identifier: MIT
#include "websocket.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <stdexcept>
#include <utility>

namespace chat {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

using Error = beast::error_code;

// [stream]
/// What Beast calls a SyncStream, of a reader and a writer. The executor is asked for, but has
/// nothing to execute: only the asynchronous operations need it.
class Stream {
  public:
    using executor_type = asio::io_context::executor_type;

    Stream(ss::BufferedReader& reader, ss::BufferedWriter& writer)
        : reader_{reader}, writer_{writer} {}

    static executor_type get_executor() {
        static asio::io_context context;
        return context.get_executor();
    }
    /// One byte. Beast would keep what comes behind a message, where no select() sees it; in the
    /// reader it costs no system call.
    template <class Buffers>
    std::size_t read_some(const Buffers& buffers, Error& error) {
        const std::string byte = reader_.read(1);
        error = byte.empty() ? Error{asio::error::eof} : Error{};
        return asio::buffer_copy(buffers, asio::buffer(byte));
    }
    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, Error& error) {
        error = {};
        std::size_t size = 0;
        for (auto it = asio::buffer_sequence_begin(buffers);
             it != asio::buffer_sequence_end(buffers); ++it) {
            const asio::const_buffer buffer{*it};
            size += writer_.write({static_cast<const char*>(buffer.data()), buffer.size()});
        }
        return size;
    }
    template <class Buffers>
    std::size_t read_some(const Buffers& buffers) {
        return or_throw([&](Error& error) { return read_some(buffers, error); });
    }
    template <class Buffers>
    std::size_t write_some(const Buffers& buffers) {
        return or_throw([&](Error& error) { return write_some(buffers, error); });
    }

  private:
    template <class Operation>
    static std::size_t or_throw(Operation operation) {
        Error error;
        const std::size_t size = operation(error);
        if (error) throw beast::system_error{error};
        return size;
    }

    ss::BufferedReader& reader_;
    ss::BufferedWriter& writer_;
};

/// Beast asks for it when both sides have said goodbye: the server closes the connection.
void teardown(beast::role_type, Stream&, Error& error) { error = {}; }
// [stream]

using Parser = http::request_parser<http::empty_body>;

bool parse(Parser& parser, std::string_view text) {
    Error error;
    parser.header_limit(static_cast<std::uint32_t>(text.size() + 1));
    const std::size_t taken = parser.put(asio::buffer(text.data(), text.size()), error);
    return !error && taken == text.size() && parser.is_done();
}

std::string text_of(beast::string_view view) { return {view.data(), view.size()}; }

}  // namespace

std::optional<Head> parse_head(std::string_view text) {
    Parser parser;
    if (!parse(parser, text)) return {};
    const auto& request = parser.get();
    return Head{.method = text_of(request.method_string()),
                .target = text_of(request.target()),
                .host = text_of(request[http::field::host]),
                .origin = text_of(request[http::field::origin]),
                .is_upgrade = beast::websocket::is_upgrade(request)};
}

struct WebSocket::State {
    State(ss::BufferedReader& reader, ss::BufferedWriter& writer) : stream{reader, writer} {}

    beast::websocket::stream<Stream> stream;
};

WebSocket::WebSocket(ss::BufferedReader& reader, ss::BufferedWriter& writer,
                     std::size_t longest_message)
    : state_{std::make_unique<State>(reader, writer)} {
    state_->stream.read_message_max(longest_message);
    state_->stream.auto_fragment(false);
    state_->stream.text(true);
}

WebSocket::~WebSocket() = default;

bool WebSocket::accept(std::string_view head) {
    Parser parser;
    if (!parse(parser, head)) return false;
    Error error;
    state_->stream.accept(parser.get(), error);
    return !error;
}

std::optional<std::string> WebSocket::read() {
    beast::flat_buffer message;
    Error error;
    state_->stream.read(message, error);
    if (error) return {};  // the client was told why
    return beast::buffers_to_string(message.data());
}

void WebSocket::write(std::string_view text) {
    Error error;
    state_->stream.write(asio::buffer(text.data(), text.size()), error);
    if (error) throw std::runtime_error("WebSocket: " + error.message());
}

void WebSocket::go_away() {
    Error error;  // that of a client which does not answer, or has gone
    state_->stream.close(beast::websocket::close_code::going_away, error);
}

}  // namespace chat
