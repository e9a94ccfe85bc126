// SPDX-License-Identifier: MIT
#include "socketserver/socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "client_sockets.hpp"
#include "request_clock.hpp"
#include "sockaddr.hpp"
#include "socket_error.hpp"
#include "socketserver/detail/blocking_io.hpp"
#include "sys.hpp"

namespace socketserver {

namespace {

using detail::Direction;
using detail::Input;
using detail::SockAddr;
using detail::throw_io_error;
using detail::throw_system_error;
using detail::TimePoint;
namespace sys = detail::sys;

/// More than the kernel hands out in one call; recv(n) with a huge n must not clear huge memory.
constexpr std::size_t largest_recv = std::size_t{256} * 1024;

int type_of(SocketType type) { return type == SocketType::stream ? SOCK_STREAM : SOCK_DGRAM; }

/// Makes a descriptor non-blocking for one operation that knows no MSG_DONTWAIT.
class NonBlocking {
  public:
    explicit NonBlocking(int descriptor)
        : descriptor_{descriptor}, was_already_{(::fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0} {
        if (!was_already_) set(1);
    }
    NonBlocking(const NonBlocking&) = delete;
    NonBlocking& operator=(const NonBlocking&) = delete;
    ~NonBlocking() {
        if (was_already_) return;
        const int saved = errno;
        set(0);
        errno = saved;
    }

  private:
    void set(int on) const { ::ioctl(descriptor_, FIONBIO, &on); }
    int descriptor_;
    bool was_already_;
};

/// After EAGAIN: waits, unless the socket is not to wait. -1 with errno if the operation ends here.
int wait_again(detail::Channel& channel, Direction direction, TimePoint until) {
    return channel.timeout.count() == 0 ? -1 : detail::wait(channel, direction, until);
}

/// The same for another Unix socket's full queue, which poll(2) does not tell about.
int wait_for_full_queue(const detail::Channel& channel, TimePoint until) {
    if (channel.timeout.count() == 0) return -1;
    if (detail::Clock::now() >= until) {
        errno = ETIMEDOUT;
        return -1;
    }
    detail::sleep_until(std::min(until, detail::Clock::now() + std::chrono::milliseconds{1}));
    return 0;
}

/// sendfile(2) knows no MSG_NOSIGNAL: holds SIGPIPE back in this thread and swallows the one that
/// the call may have raised.
class SigpipeHeldBack {
  public:
    SigpipeHeldBack() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    SigpipeHeldBack(const SigpipeHeldBack&) = delete;
    SigpipeHeldBack& operator=(const SigpipeHeldBack&) = delete;
    ~SigpipeHeldBack() {
        const int saved = errno;
        const timespec at_once{};
        if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        errno = saved;
    }

  private:
    sigset_t pipe_{};
    sigset_t before_{};
    bool was_pending_ = false;
};

}  // namespace

Socket::Socket(const Address& address, SocketType type) {
    channel_.fd = sys::calls.socket(detail::domain_of(address), type_of(type) | SOCK_CLOEXEC, 0);
    if (channel_.fd == -1) throw_system_error("create a socket for " + address.to_string());
    if (type == SocketType::stream) {
        channel_.is_stream = true;
        detail::ClientSockets::add(channel_.fd);
    }
}

Socket::Socket(Socket&& other) noexcept
    : channel_{std::exchange(other.channel_, {})}, corked_{std::exchange(other.corked_, nullptr)} {}

Socket& Socket::operator=(Socket&& other) noexcept {
    if (this != &other) {
        close();
        channel_ = std::exchange(other.channel_, {});
        corked_ = std::exchange(other.corked_, nullptr);
    }
    return *this;
}

Socket::~Socket() { close(); }

std::ptrdiff_t Socket::receive_some(char* data, std::size_t size, int flags, bool partial) {
    const bool waits = (flags & MSG_DONTWAIT) == 0;
    const Input input = waits ? detail::before_receive(channel_, partial) : Input::wait;
    if (input == Input::time_over) {
        errno = ETIMEDOUT;
        throw_io_error(channel_, "recv");
    }
    if (input == Input::look) flags |= MSG_DONTWAIT;
    const std::ptrdiff_t received =
        detail::after_receive(channel_, detail::recv(channel_, data, size, flags));
    if (received != -1) return received;
    if (errno != EAGAIN) throw_io_error(channel_, "recv");
    if (input != Input::look) return -1;
    detail::ended_by_drain(channel_);
    return 0;
}

std::ptrdiff_t Socket::send_some(std::string_view data, int flags) {
    detail::before_send(channel_);
    const std::ptrdiff_t sent =
        detail::after_send(channel_, detail::send(channel_, data.data(), data.size(), flags));
    if (sent == -1 && errno != EAGAIN) throw_io_error(channel_, "send");
    return sent;
}

std::size_t Socket::recv_into(std::span<char> buffer) {
    flush_corked();
    const std::ptrdiff_t received = receive_some(buffer.data(), buffer.size(), 0);
    if (received == -1) throw_io_error(channel_, "recv");
    return static_cast<std::size_t>(received);
}

std::string Socket::recv(std::size_t size) {
    std::string data(std::min(size, largest_recv), '\0');
    data.resize(recv_into(data));
    return data;
}

std::size_t Socket::send(std::string_view data) {
    flush_corked();
    const std::ptrdiff_t sent = send_some(data, 0);
    if (sent == -1) throw_io_error(channel_, "send");
    return static_cast<std::size_t>(sent);
}

void Socket::sendall(std::string_view data) {
    flush_corked();
    detail::before_send(channel_);
    // The time is for all of it: a peer that takes a byte now and then does not prolong it.
    const TimePoint until = channel_.until();
    data.remove_prefix(send(data));  // at least once: an empty datagram is a datagram
    while (!data.empty()) {
        const std::ptrdiff_t sent = send_some(data, MSG_DONTWAIT);
        if (sent != -1) {
            data.remove_prefix(static_cast<std::size_t>(sent));
        } else if (wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, "send");
        }
    }
}

std::size_t Socket::sendfile(int file, std::size_t offset, std::optional<std::size_t> count) {
    // The kernel takes at most this much in one call.
    constexpr std::size_t most = 0x7ffff000;
    flush_corked();
    off_t position = static_cast<off_t>(offset);
    std::size_t left = count.value_or(static_cast<std::size_t>(-1));
    detail::before_send(channel_);
    const TimePoint until = channel_.until();
    const NonBlocking non_blocking{channel_.fd};
    while (left > 0) {
        const ssize_t sent = detail::after_send(
            channel_, sys::retry_on_eintr([&] {
                const SigpipeHeldBack held_back;  // not around the wait: a fiber leaves the thread
                return sys::calls.sendfile(channel_.fd, file, &position, std::min(left, most));
            }));
        if (sent == 0) break;  // the file ends here
        if (sent > 0) {
            left -= static_cast<std::size_t>(sent);
        } else if (errno != EAGAIN || wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, "sendfile");
        }
    }
    return static_cast<std::size_t>(position) - offset;
}

void Socket::sendto(std::string_view data, const Address& address) {
    const SockAddr to = detail::to_sockaddr(address);
    const TimePoint until = channel_.until();
    for (;;) {
        const ssize_t sent = sys::retry_on_eintr([&] {
            return sys::calls.sendto(channel_.fd, data.data(), data.size(),
                                     MSG_NOSIGNAL | MSG_DONTWAIT, to.get(), to.size);
        });
        if (sent != -1) return;
        if (errno != EAGAIN ||
            (address.is_unix() ? wait_for_full_queue(channel_, until)
                               : wait_again(channel_, Direction::write, until)) == -1) {
            throw_io_error(channel_, "sendto " + address.to_string());
        }
    }
}

std::pair<std::string, Address> Socket::recvfrom(std::size_t size) {
    flush_corked();
    std::string data(size, '\0');
    SockAddr from;
    const TimePoint until = channel_.until();
    for (;;) {
        iovec part{data.data(), data.size()};
        msghdr message{};
        message.msg_name = from.get();
        message.msg_namelen = sizeof from.storage;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        const ssize_t received = sys::retry_on_eintr(
            [&] { return sys::calls.recvmsg(channel_.fd, &message, MSG_DONTWAIT); });
        if (received != -1) {
            data.resize(static_cast<std::size_t>(received));
            from.size = message.msg_namelen;
            return {std::move(data), detail::from_sockaddr(from)};
        }
        if (errno != EAGAIN || wait_again(channel_, Direction::read, until) == -1) {
            throw_io_error(channel_, "recvfrom");
        }
    }
}

void Socket::bind(const Address& address) {
    const SockAddr raw = detail::to_sockaddr(address);
    if (sys::calls.bind(channel_.fd, raw.get(), raw.size) == -1) {
        detail::throw_bind_error(address);
    }
}

void Socket::listen(int backlog) {
    if (sys::calls.listen(channel_.fd, backlog) == -1) {
        const int error = errno;
        throw std::system_error(error, std::system_category(),
                                "listen on " + getsockname().to_string());
    }
}

std::pair<Socket, Address> Socket::accept() {
    SockAddr peer;
    const TimePoint until = channel_.until();
    // accept4 knows no flag for it. Without a limit the kernel may as well do the waiting.
    std::optional<NonBlocking> non_blocking;
    if (channel_.is_timed() || detail::current().io != nullptr) non_blocking.emplace(channel_.fd);
    for (;;) {
        const int descriptor = sys::retry_on_eintr([&] {
            peer.size = sizeof peer.storage;
            return sys::calls.accept4(channel_.fd, peer.get(), &peer.size, SOCK_CLOEXEC);
        });
        if (descriptor != -1) {
            Socket accepted{descriptor};
            accepted.channel_.is_stream = channel_.is_stream;
            return {std::move(accepted), detail::from_sockaddr(peer)};
        }
        if (errno != EAGAIN || wait_again(channel_, Direction::read, until) == -1) {
            throw_io_error(channel_, "accept");
        }
    }
}

void Socket::connect(const Address& address) {
    const SockAddr raw = detail::to_sockaddr(address);
    const auto operation = [&] { return "connect to " + address.to_string(); };
    // EINTR leaves the attempt under way, and a fiber must not block: so begin, then wait.
    const NonBlocking non_blocking{channel_.fd};
    const TimePoint until = channel_.until();
    while (sys::calls.connect(channel_.fd, raw.get(), raw.size) == -1) {
        if (errno == EISCONN) return;
        // A Unix socket says EAGAIN when the server's queue is full.
        if (errno == EAGAIN && address.is_unix()) {
            if (wait_for_full_queue(channel_, until) == -1) throw_io_error(channel_, operation());
            continue;
        }
        if (errno != EINPROGRESS && errno != EINTR && errno != EALREADY) {
            throw_io_error(channel_, operation());
        }
        errno = EAGAIN;  // what a socket that does not wait says of every operation
        if (wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, operation());
        }
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(channel_.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == 0) return;
        errno = error;
        throw_io_error(channel_, operation());
    }
}

void Socket::shutdown(ShutdownHow how) {
    if (how != ShutdownHow::read) flush_corked();
    const int native = how == ShutdownHow::read    ? SHUT_RD
                       : how == ShutdownHow::write ? SHUT_WR
                                                   : SHUT_RDWR;
    if (sys::calls.shutdown(channel_.fd, native) == -1) throw_io_error(channel_, "shutdown");
}

void Socket::close() noexcept {
    detail::ClientSockets::remove(channel_.fd);
    detail::close(channel_);
}

int Socket::detach() noexcept {
    detail::forget(channel_);
    detail::disown_descriptor(channel_.connection.get());
    detail::ClientSockets::remove(channel_.fd);
    return std::exchange(channel_.fd, -1);
}

Address Socket::getsockname() const {
    SockAddr raw;
    if (::getsockname(channel_.fd, raw.get(), &raw.size) == -1) throw_system_error("getsockname");
    return detail::from_sockaddr(raw);
}

Address Socket::getpeername() const {
    SockAddr raw;
    if (::getpeername(channel_.fd, raw.get(), &raw.size) == -1) throw_system_error("getpeername");
    return detail::from_sockaddr(raw);
}

void Socket::settimeout(std::optional<std::chrono::nanoseconds> timeout) {
    channel_.timeout = timeout.value_or(std::chrono::nanoseconds{-1});
    channel_.kernel_timeout_is_set = false;
}

std::optional<std::chrono::nanoseconds> Socket::gettimeout() const noexcept {
    if (channel_.timeout.count() < 0) return {};
    return channel_.timeout;
}

void Socket::set_nodelay(bool on) {
    const int value = on ? 1 : 0;
    if (::setsockopt(channel_.fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) == -1 &&
        errno != EOPNOTSUPP && errno != ENOPROTOOPT) {
        throw_system_error("set TCP_NODELAY");
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
