// SPDX-License-Identifier: MIT
// One connection of the Asio peers with callbacks, over any stream: a socket, or TLS on one.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "asio_common.hpp"

namespace peer {

template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
  public:
    template <class... Arguments>
    explicit Session(Arguments&&... arguments) : stream_{std::forward<Arguments>(arguments)...} {}

    Stream& stream() { return stream_; }
    void read() {
        if (held_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
        stream_.async_read_some(
            asio::buffer(buffer_) + held_,
            [self = this->shared_from_this()](error_code error, std::size_t got) {
                if (!error) self->on_read(got);
            });
    }

  private:
    void on_read(std::size_t got) {
        const std::size_t complete = complete_lines(buffer_.data(), held_, got);
        held_ += got;
        if (complete == 0) return read();
        asio::async_write(stream_, asio::buffer(buffer_.data(), complete),
                          [self = this->shared_from_this()](error_code error, std::size_t sent) {
                              if (!error) self->on_written(sent);
                          });
    }
    void on_written(std::size_t sent) {
        held_ -= sent;
        if (held_ > 0) std::memmove(buffer_.data(), buffer_.data() + sent, held_);
        read();
    }

    Stream stream_;
    std::vector<char> buffer_ = std::vector<char>(4096);
    std::size_t held_ = 0;
};

}  // namespace peer
