// SPDX-License-Identifier: MIT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/socket.hpp"

// The options of a Socket, and what the kernel knows of the peer.
namespace socketserver {

namespace {

/// The time as an int for the kernel. A larger time becomes the largest int, which is practically
/// no limit.
template <class Unit>
int whole(std::chrono::nanoseconds time) {
    const auto units = std::chrono::ceil<Unit>(time).count();
    return static_cast<int>(std::clamp<std::int64_t>(units, 1, std::numeric_limits<int>::max()));
}

}  // namespace

void Socket::set_option(int level, int option, const void* value, std::size_t size,
                        const char* name) {
    if (detail::sys::calls.setsockopt(channel_.fd, level, option, value,
                                      static_cast<socklen_t>(size)) == 0) {
        return;
    }
    const int error = errno;
    std::string text = "set ";
    text += name != nullptr
                ? name
                : "option " + std::to_string(option) + " of level " + std::to_string(level);
    throw std::system_error(error, std::system_category(), text);
}

std::size_t Socket::get_option(int level, int option, void* value, std::size_t size) const {
    auto got = static_cast<socklen_t>(size);
    if (::getsockopt(channel_.fd, level, option, value, &got) == 0) return got;
    const int error = errno;
    throw std::system_error(
        error, std::system_category(),
        "get option " + std::to_string(option) + " of level " + std::to_string(level));
}

void Socket::wrong_size(int level, int option, std::size_t expected, std::size_t actual) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "option " + std::to_string(option) + " of level " +
                                std::to_string(level) + " has " + std::to_string(actual) +
                                " bytes, not " + std::to_string(expected));
}

void Socket::set_keepalive(std::optional<KeepAlive> keepalive) {
    const int on = keepalive ? 1 : 0;
    // The times first: a connection that has been idle for long must not be probed by the old ones.
    if (keepalive) {
        const int idle = whole<std::chrono::seconds>(keepalive->idle);
        const int interval = whole<std::chrono::seconds>(keepalive->interval);
        set_option(IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle, "TCP_KEEPIDLE");
        set_option(IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval, "TCP_KEEPINTVL");
        set_option(IPPROTO_TCP, TCP_KEEPCNT, &keepalive->probes, sizeof keepalive->probes,
                   "TCP_KEEPCNT");
    }
    set_option(SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on, "SO_KEEPALIVE");
}

void Socket::set_linger(std::optional<std::chrono::seconds> time) {
    linger value{};
    if (time) {
        value.l_onoff = 1;
        value.l_linger = time->count() == 0 ? 0 : whole<std::chrono::seconds>(*time);
    }
    set_option(SOL_SOCKET, SO_LINGER, &value, sizeof value, "SO_LINGER");
}

void Socket::set_user_timeout(std::optional<std::chrono::milliseconds> time) {
    const int value = time ? whole<std::chrono::milliseconds>(*time) : 0;
    set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value, "TCP_USER_TIMEOUT");
}

void Socket::set_receive_buffer(std::size_t size) {
    const int value = static_cast<int>(std::min<std::size_t>(size, INT_MAX));
    set_option(SOL_SOCKET, SO_RCVBUF, &value, sizeof value, "SO_RCVBUF");
}

void Socket::set_send_buffer(std::size_t size) {
    const int value = static_cast<int>(std::min<std::size_t>(size, INT_MAX));
    set_option(SOL_SOCKET, SO_SNDBUF, &value, sizeof value, "SO_SNDBUF");
}

PeerCredentials Socket::peer_credentials() const {
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;
    ::ucred credentials{};
    if (::getsockopt(channel_.fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0) {
        // The kernel answers for every kind of socket, but with numbers that name no process.
        if (domain != AF_UNIX) {
            throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                                    "peer_credentials of a socket that is no Unix socket");
        }
        size = sizeof credentials;
        if (::getsockopt(channel_.fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
            return {credentials.pid, credentials.uid, credentials.gid};
        }
    }
    detail::throw_system_error("peer_credentials");
}

}  // namespace socketserver
