// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

namespace load {

// The server's address, and how to get a socket that is on its way there.
class Endpoint {
  public:
    Endpoint(const std::string& address, bool datagram);

    // A non-blocking socket whose connect() has been started; `serial` numbers the sockets and
    // picks the source address. Below zero, and errno set, when it failed.
    int connect(std::uint32_t serial) const;

  private:
    int prepare(int fd, std::uint32_t serial) const;

    sockaddr_storage address_{};
    socklen_t size_ = 0;
    int type_;
};

}  // namespace load
