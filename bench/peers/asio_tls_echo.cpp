// SPDX-License-Identifier: MIT
// Line echo on Asio's ssl::stream with callbacks: "peer_asio_tls PORT PEM", a file with a
// certificate and its key.
#include <boost/asio/ssl.hpp>
#include <memory>
#include <vector>

#include "asio_common.hpp"

namespace {

using namespace peer;

class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(Socket socket, asio::ssl::context& context) : stream_{std::move(socket), context} {}

    void start() {
        stream_.async_handshake(asio::ssl::stream_base::server,
                                [self = shared_from_this()](error_code error) {
                                    if (!error) self->read();
                                });
    }

  private:
    void read() {
        if (held_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
        stream_.async_read_some(asio::buffer(buffer_) + held_,
                                [self = shared_from_this()](error_code error, std::size_t got) {
                                    if (!error) self->on_read(got);
                                });
    }
    void on_read(std::size_t got) {
        const std::size_t complete = complete_lines(buffer_.data(), held_, got);
        held_ += got;
        if (complete == 0) return read();
        asio::async_write(stream_, asio::buffer(buffer_.data(), complete),
                          [self = shared_from_this()](error_code error, std::size_t sent) {
                              if (!error) self->on_written(sent);
                          });
    }
    void on_written(std::size_t sent) {
        held_ -= sent;
        if (held_ > 0) std::memmove(buffer_.data(), buffer_.data() + sent, held_);
        read();
    }

    asio::ssl::stream<Socket> stream_;
    std::vector<char> buffer_ = std::vector<char>(4096);
    std::size_t held_ = 0;
};

void accept(Acceptor& acceptor, asio::ssl::context& context) {
    acceptor.async_accept([&](error_code error, Socket socket) {
        if (!error) std::make_shared<Session>(std::move(socket), context)->start();
        accept(acceptor, context);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    asio::ssl::context ssl{asio::ssl::context::tls_server};
    ssl.use_certificate_chain_file(argv[2]);
    ssl.use_private_key_file(argv[2], asio::ssl::context::pem);
    SSL_CTX_set_mode(ssl.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    asio::io_context context{1};
    Acceptor listener = acceptor(context, 2, argv);
    accept(listener, ssl);
    context.run();
}
