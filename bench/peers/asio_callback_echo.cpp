// SPDX-License-Identifier: MIT
// Line echo on Asio with callbacks.
#include <memory>
#include <vector>

#include "asio_common.hpp"

namespace {

using namespace peer;

class Session : public std::enable_shared_from_this<Session> {
  public:
    explicit Session(Socket socket) : socket_{std::move(socket)} {}

    void read() {
        if (held_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
        socket_.async_read_some(asio::buffer(buffer_) + held_,
                                [self = shared_from_this()](error_code error, std::size_t got) {
                                    if (!error) self->on_read(got);
                                });
    }

  private:
    void on_read(std::size_t got) {
        const std::size_t complete = complete_lines(buffer_.data(), held_, got);
        held_ += got;
        if (complete == 0) return read();
        asio::async_write(socket_, asio::buffer(buffer_.data(), complete),
                          [self = shared_from_this()](error_code error, std::size_t sent) {
                              if (!error) self->on_written(sent);
                          });
    }
    void on_written(std::size_t sent) {
        held_ -= sent;
        if (held_ > 0) std::memmove(buffer_.data(), buffer_.data() + sent, held_);
        read();
    }

    Socket socket_;
    std::vector<char> buffer_ = std::vector<char>(4096);
    std::size_t held_ = 0;
};

void accept(Acceptor& acceptor) {
    acceptor.async_accept([&acceptor](error_code error, Socket socket) {
        if (!error) std::make_shared<Session>(std::move(socket))->read();
        accept(acceptor);
    });
}

}  // namespace

int main(int argc, char** argv) {
    asio::io_context context{1};
    Acceptor listener = acceptor(context, argc, argv);
    accept(listener);
    context.run();
}
