// SPDX-License-Identifier: MIT
// The files of a folder by Boost.Beast on Asio, in one thread, with a line in a log for each
// request. The completion handlers are those of Beast's own example of an asynchronous server.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio.hpp>  // after <utility>, which Boost 1.74 forgets
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "access_log.hpp"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

std::string folder;
std::FILE* access_log = nullptr;

class Session : public std::enable_shared_from_this<Session> {
  public:
    explicit Session(tcp::socket socket)
        : stream_{std::move(socket)},
          peer_{stream_.socket().remote_endpoint().address().to_string()} {}

    void read() {
        request_ = {};
        http::async_read(stream_, buffer_, request_,
                         [self = shared_from_this()](beast::error_code error, std::size_t) {
                             if (!error) self->answer();
                         });
    }

  private:
    void answer() {
        const std::string target{request_.target()};
        http::file_body::value_type body;
        beast::error_code error;
        if (target.find("..") == std::string::npos) {
            body.open((folder + target).c_str(), beast::file_mode::scan, error);
        }
        if (error || !body.is_open()) {
            return send(std::make_shared<http::response<http::string_body>>(http::status::not_found,
                                                                            request_.version()),
                        0);
        }
        const auto size = body.size();
        auto response = std::make_shared<http::response<http::file_body>>(
            std::piecewise_construct, std::make_tuple(std::move(body)),
            std::make_tuple(http::status::ok, request_.version()));
        response->set(http::field::content_type, "text/plain");
        send(std::move(response), size);
    }

    template <class Response>
    void send(std::shared_ptr<Response> response, std::uint64_t size) {
        std::fprintf(access_log, "%s - - [%s] \"%s %s HTTP/1.1\" %u %ju\n", peer_.c_str(),
                     log_time().c_str(), std::string{request_.method_string()}.c_str(),
                     std::string{request_.target()}.c_str(), response->result_int(),
                     static_cast<std::uintmax_t>(size));
        response->content_length(size);
        response->keep_alive(request_.keep_alive());
        http::async_write(
            stream_, *response,
            [self = shared_from_this(), response](beast::error_code error, std::size_t) {
                if (error) return;
                if (response->need_eof()) {
                    self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
                } else {
                    self->read();
                }
            });
    }

    beast::tcp_stream stream_;
    std::string peer_;
    beast::flat_buffer buffer_;
    http::request<http::empty_body> request_;
};

void accept(tcp::acceptor& acceptor) {
    acceptor.async_accept([&](beast::error_code error, tcp::socket socket) {
        if (!error) std::make_shared<Session>(std::move(socket))->read();
        accept(acceptor);
    });
}

}  // namespace

int main(int argc, char** argv) {
    access_log = argc == 4 ? std::fopen(argv[3], "a") : nullptr;
    if (access_log == nullptr) {
        std::fputs("usage: beast_http <port> <folder> <log>\n", stderr);
        return 2;
    }
    folder = argv[2];
    asio::io_context context{1};
    const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
    tcp::acceptor acceptor{context, {asio::ip::make_address("127.0.0.1"), port}};
    accept(acceptor);
    context.run();
}
