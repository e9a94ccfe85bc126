// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>
#include <sys/types.h>

struct ssl_st;

namespace load {

// The bytes of one connection, in plain or over TLS. send() and recv() are those of the kernel:
// they do not wait, and set errno. Over TLS they make the handshake as well.
class Stream {
  public:
    Stream() = default;
    // Takes a non-blocking socket.
    Stream(int fd, bool tls);
    Stream(Stream&& other) noexcept;
    Stream& operator=(Stream&& other) noexcept;
    ~Stream();

    int fd() const { return fd_; }
    ssize_t send(std::string_view data);
    ssize_t recv(char* data, std::size_t size);

  private:
    ssize_t result(int returned) const;

    int fd_ = -1;
    ssl_st* ssl_ = nullptr;
};

// Whether the client was built with OpenSSL.
bool has_tls();

}  // namespace load
