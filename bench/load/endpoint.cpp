// SPDX-License-Identifier: MIT
#include "endpoint.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

namespace load {
namespace {

// One source address has 28,000 ports, and a port that was closed first stays in TIME_WAIT for a
// minute: sockets are spread over 127.0.0.2 to 127.0.0.129.
constexpr std::uint32_t source_addresses = 128;

sockaddr_in loopback(std::uint32_t last_byte, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7F000000U + last_byte);
    address.sin_port = htons(port);
    return address;
}

}  // namespace

Endpoint::Endpoint(const std::string& address, bool datagram)
    : type_{(datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC} {
    if (address.starts_with('/') || address.starts_with('@')) {
        sockaddr_un path{};
        path.sun_family = AF_UNIX;
        address.copy(path.sun_path, sizeof path.sun_path - 1);
        if (address.starts_with('@')) path.sun_path[0] = '\0';
        size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
        std::memcpy(&address_, &path, sizeof path);
    } else {
        const sockaddr_in port =
            loopback(1, static_cast<std::uint16_t>(std::atoi(address.c_str())));
        size_ = sizeof port;
        std::memcpy(&address_, &port, sizeof port);
    }
}

int Endpoint::connect(std::uint32_t serial) const {
    const int fd = ::socket(address_.ss_family, type_, 0);
    if (fd < 0) return -1;
    if (prepare(fd, serial) == 0 &&
        (::connect(fd, reinterpret_cast<const sockaddr*>(&address_), size_) == 0 ||
         errno == EINPROGRESS)) {
        return fd;
    }
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
}

int Endpoint::prepare(int fd, std::uint32_t serial) const {
    const bool datagram = (type_ & SOCK_DGRAM) != 0;
    if (address_.ss_family == AF_UNIX && datagram) {
        // A name that the kernel picks: without one the server could not reply.
        const sockaddr_un unnamed{AF_UNIX, {}};
        return ::bind(fd, reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family);
    }
    if (address_.ss_family == AF_UNIX || datagram) return 0;
    const int on = 1;
    const sockaddr_in source = loopback(2 + serial % source_addresses, 0);
    if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        // Without it bind() would take the port, from a range that all destinations share.
        ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) {
        return -1;
    }
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
}

}  // namespace load
