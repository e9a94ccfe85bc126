// SPDX-License-Identifier: MIT
#include <sys/un.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "io/close_on_fork.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "io/waiting.hpp"
#include "os/sys.hpp"
#include "socketserver/socket.hpp"

// The members of Socket that make connections, and create_connection().
namespace socketserver {

namespace {

using detail::Direction;
using detail::NonBlocking;
using detail::SockAddr;
using detail::throw_io_error;
using detail::throw_system_error;
using detail::TimePoint;
using detail::wait_again;
using detail::wait_for_full_queue;
namespace sys = detail::sys;

}  // namespace

void Socket::bind(const Address& address) {
    const SockAddr raw = detail::to_sockaddr(address);
    if (sys::calls.bind(channel_.fd, raw.get(), raw.size) == -1) {
        detail::throw_bind_error(channel_.fd, address);
    }
}

void Socket::listen(int backlog) {
    if (sys::calls.listen(channel_.fd, backlog) == -1) {
        const int error = errno;
        throw std::system_error(error, std::system_category(),
                                "listen on " + getsockname().to_string());
    }
    detail::CloseOnFork::remove_client(channel_.fd);
}

std::pair<Socket, Address> Socket::accept() {
    SockAddr peer;
    const TimePoint until = channel_.until();
    // accept4(2) has no flag like MSG_DONTWAIT, so the listening socket is made non-blocking.
    // Without a time limit the kernel can do the waiting.
    std::optional<NonBlocking> non_blocking;
    if (channel_.is_timed() || detail::current().io != nullptr) non_blocking.emplace(channel_.fd);
    for (;;) {
        if (detail::begin_operation() == -1) throw_io_error(channel_, "accept");
        const int descriptor = sys::retry_on_eintr([&] {
            peer.size = sizeof peer.storage;
            return sys::calls.accept4(channel_.fd, peer.get(), &peer.size, SOCK_CLOEXEC);
        });
        if (descriptor != -1) {
            Socket accepted{descriptor};
            accepted.channel_.stream = channel_.stream;
            return {std::move(accepted), detail::from_sockaddr(peer)};
        }
        if (errno != EAGAIN || wait_again(channel_, Direction::read, until) == -1) {
            throw_io_error(channel_, "accept");
        }
    }
}

void Socket::connect(const Address& address) {
    const SockAddr raw = detail::to_sockaddr(address);
    // After EINTR the attempt goes on in the kernel, and a fiber must not block. So this begins the
    // attempt, and then waits.
    const NonBlocking non_blocking{channel_.fd};
    const TimePoint until = channel_.until();
    if (detail::begin_operation() == -1) throw_io_error(channel_, "connect to", address);
    while (sys::calls.connect(channel_.fd, raw.get(), raw.size) == -1) {
        if (errno == EISCONN) return;
        // connect(2) of a Unix socket fails with EAGAIN when the server's queue is full.
        if (errno == EAGAIN && address.is_unix()) {
            if (wait_for_full_queue(channel_, until) == -1)
                throw_io_error(channel_, "connect to", address);
            continue;
        }
        if (errno != EINPROGRESS && errno != EINTR && errno != EALREADY) {
            throw_io_error(channel_, "connect to", address);
        }
        errno = EAGAIN;  // the error of every operation of a socket that does not wait
        if (wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, "connect to", address);
        }
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(channel_.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0) {
            if (error == 0) return;
            errno = error;
        }
        throw_io_error(channel_, "connect to", address);
    }
}

Socket create_connection(const Address& address, SocketType type,
                         std::optional<std::chrono::nanoseconds> timeout) {
    const std::vector<Address> candidates = address.resolve();
    for (std::size_t i = 0;; ++i) {
        try {
            Socket socket{candidates[i], type};
            socket.settimeout(timeout);
            if (address.is_unix() && type == SocketType::datagram) {
                // Binding to nothing but a family makes Linux choose an abstract name.
                const sockaddr_un any{.sun_family = AF_UNIX, .sun_path = {}};
                if (::bind(socket.fileno(), reinterpret_cast<const sockaddr*>(&any),
                           sizeof(sa_family_t)) == -1) {
                    throw_system_error("bind a Unix datagram client");
                }
            }
            socket.connect(candidates[i]);
            return socket;
        } catch (const std::system_error&) {
            if (i + 1 == candidates.size()) throw;
        }
    }
}

}  // namespace socketserver
