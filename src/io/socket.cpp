// SPDX-License-Identifier: MIT
#include "socketserver/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include "io/arrival.hpp"
#include "io/buffer_pool.hpp"
#include "io/close_on_fork.hpp"
#include "io/datagram_counters.hpp"
#include "io/full_queue.hpp"
#include "io/receive_datagram.hpp"
#include "io/reply_collector.hpp"
#include "io/reply_guard.hpp"
#include "io/request_hooks.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "io/waiting.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"

namespace socketserver {

namespace {

using detail::Direction;
using detail::Input;
using detail::SockAddr;
using detail::throw_io_error;
using detail::throw_system_error;
using detail::TimePoint;
using detail::wait_again;
namespace sys = detail::sys;

/// More than the kernel hands out in one call; recv(n) with a huge n must not ask for huge memory.
constexpr std::size_t largest_recv = std::size_t{256} * 1024;

Direction input_needs(const detail::Channel& channel) {
    return channel.filter == nullptr ? Direction::read : channel.filter->recv_waits_for();
}

Direction output_needs(const detail::Channel& channel) {
    return channel.filter == nullptr ? Direction::write : channel.filter->send_waits_for();
}

/// Without waiting; from the address that `arrival` says, if it is not null.
ssize_t send_from(const detail::Channel& channel, std::string_view data, const SockAddr& to,
                  const detail::Arrival* arrival) {
    constexpr int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (arrival == nullptr) {
        return sys::retry_on_eintr([&] {
            return sys::calls.sendto(channel.fd, data.data(), data.size(), flags, to.get(),
                                     to.size);
        });
    }
    // sendmsg() only reads both.
    iovec part{const_cast<char*>(data.data()), data.size()};
    msghdr message{};
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, detail::arrival_size> control{};
    detail::send_from(*arrival, message, control.data());
    return sys::retry_on_eintr([&] { return sys::calls.sendmsg(channel.fd, &message, flags); });
}

/// Whether a socket that is not connected was connected before. If it was, the kernel has given it
/// a port, which it keeps after the end of the connection. errno is not changed.
bool was_connected(int fd) {
    const int saved = errno;
    SockAddr raw;
    const bool is_known = ::getsockname(fd, raw.get(), &raw.size) == 0;
    const Address own = is_known ? detail::from_sockaddr(raw) : Address{};
    errno = saved;
    return own.is_inet() && own.port() != 0;
}

int type_of(SocketType type) { return type == SocketType::stream ? SOCK_STREAM : SOCK_DGRAM; }

}  // namespace

Socket::Socket(const Address& address, SocketType type) {
    const detail::CloseOnFork::NoFork no_fork;
    channel_.fd = sys::calls.socket(detail::domain_of(address), type_of(type) | SOCK_CLOEXEC, 0);
    if (channel_.fd == -1) throw_system_error("create a socket for", address);
    if (type == SocketType::stream) {
        channel_.stream = detail::byte_stream_of(detail::domain_of(address));
        detail::CloseOnFork::add_client(channel_.fd);
    }
}

/// For a socket with a corked writer. Sends the output that is held back before the descriptor is
/// given away, because the writer stays with this object and cannot send later. If that fails, the
/// connection is shut down, so that the peer sees the end of the stream rather than a gap.
void Socket::uncork() noexcept {
    try {
        corked_->flush_before_send();
    } catch (...) {
        sys::calls.shutdown(channel_.fd, SHUT_RDWR);
    }
}

Socket::Socket(Socket&& other) noexcept {
    if (other.corked_ != nullptr) other.uncork();
    channel_ = detail::give_away(other.channel_);
}

Socket& Socket::operator=(Socket&& other) noexcept {
    if (this != &other) {
        if (other.corked_ != nullptr) other.uncork();
        close();
        channel_ = detail::give_away(other.channel_);
    }
    return *this;
}

// This is a fast path: most sockets that are destroyed have been moved from, or closed.
Socket::~Socket() {
    if (is_open()) close();
}

std::ptrdiff_t Socket::receive_some(char* data, std::size_t size, int flags, bool partial) {
    // This is called also before an attempt that does not wait, because the bytes that it finds may
    // begin the next request.
    const Input input = detail::before_receive(channel_, partial);
    if (input == Input::look) flags |= MSG_DONTWAIT;
    const std::ptrdiff_t received = detail::after_receive(
        channel_, channel_.filter == nullptr ? detail::recv(channel_, data, size, flags)
                                             : detail::filtered_recv(channel_, data, size, flags));
    if (received != -1) return received;
    if (errno != EAGAIN) throw_io_error(channel_, "recv");
    if (input != Input::look) return -1;
    detail::ended_by_drain(channel_);
    return 0;
}

/// On a carrier of fibers: whether to try a receive before waiting.
bool Socket::may_have_input() {
    return detail::current().io->may_receive(channel_) ||
           (channel_.filter != nullptr && channel_.filter->has_pending());
}

/// Called on a carrier of fibers when there is no input. The caller must try again in any case: in
/// a drain this function does not wait, and that attempt decides whether the handler sees the end
/// of the stream.
void Socket::wait_for_input(bool partial) {
    if (detail::before_receive(channel_, partial) == Input::look) return;
    if (channel_.timeout.count() == 0) {
        errno = EAGAIN;
    } else if (detail::current().io->wait(channel_, input_needs(channel_), channel_.until()) == 0) {
        return;
    }
    throw_io_error(channel_, "recv");
}

/// To be called after before_send(), and before the next wait.
std::ptrdiff_t Socket::send_some(std::string_view data, int flags) {
    const std::ptrdiff_t sent =
        detail::after_send(channel_, channel_.filter == nullptr
                                         ? detail::send(channel_, data.data(), data.size(), flags)
                                         : detail::filtered_send(channel_, data, flags));
    if (sent == -1 && errno != EAGAIN) throw_io_error(channel_, "send");
    return sent;
}

std::size_t Socket::recv_into(std::span<char> buffer) {
    if (buffer.empty()) return 0;  // the kernel would wait, and its answer look like the end
    flush_before_wait();
    const std::ptrdiff_t received = receive_some(buffer.data(), buffer.size(), 0);
    if (received == -1) throw_io_error(channel_, "recv");
    return static_cast<std::size_t>(received);
}

/// The string is only as large as the bytes that have come, whatever size was asked for. A fiber
/// that waits holds no buffer meanwhile.
std::string Socket::recv(std::size_t size) {
    if (size == 0) return {};
    flush_before_wait();
    const std::size_t most = std::min(size, largest_recv);
    const bool waits_without_buffer = detail::current().io != nullptr;
    const int flags = waits_without_buffer ? MSG_DONTWAIT : 0;
    for (bool tries = !waits_without_buffer || may_have_input();; tries = true) {
        if (tries) {
            const detail::PooledBuffer buffer{most};
            const std::ptrdiff_t received = receive_some(buffer.data(), most, flags);
            if (received != -1) return {buffer.data(), static_cast<std::size_t>(received)};
            if (!waits_without_buffer) throw_io_error(channel_, "recv");
        }
        wait_for_input();
    }
}

/// Fills the buffer. If the stream ends before that, returns how many bytes have come. `received`
/// is how many bytes of the same operation came before.
std::size_t Socket::receive_all(std::span<char> buffer, std::size_t received, TimePoint until) {
    int flags = received == 0 ? 0 : MSG_DONTWAIT;  // the first time: one system call that waits
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        if (flags != 0 && detail::begin_operation() == -1) throw_io_error(channel_, "recv");
        const std::ptrdiff_t came = receive_some(buffer.data() + filled, buffer.size() - filled,
                                                 flags, received + filled > 0);
        if (came == 0) break;
        if (came != -1) {
            filled += static_cast<std::size_t>(came);
        } else if (flags == 0 || wait_again(channel_, input_needs(channel_), until) == -1) {
            throw_io_error(channel_, "recv");
        }
        flags = MSG_DONTWAIT;
    }
    return filled;
}

void Socket::recv_exactly(std::span<char> buffer) {
    flush_before_wait();
    const std::size_t received = receive_all(buffer, 0, channel_.until());
    if (received == buffer.size()) return;
    throw IncompleteReadError("recv_exactly", {buffer.data(), received}, buffer.size());
}

std::string Socket::recv_exactly(std::size_t size) {
    flush_before_wait();
    const TimePoint until = channel_.until();
    std::string all;
    while (all.size() < size) {
        const std::size_t before = all.size();
        // Twice as much is allocated each time, so that a size which a peer only announces takes no
        // memory.
        const std::size_t most = std::max(largest_recv, before);
        all.resize(before + std::min(size - before, most));
        const std::size_t received = receive_all(std::span{all}.subspan(before), before, until);
        if (before + received < all.size()) {
            all.resize(before + received);
            throw IncompleteReadError("recv_exactly", std::move(all), size);
        }
    }
    return all;
}

std::size_t Socket::send(std::string_view data) {
    flush_corked();
    detail::before_send(channel_);
    const std::ptrdiff_t sent = send_some(data, 0);
    if (sent == -1) throw_io_error(channel_, "send");
    return static_cast<std::size_t>(sent);
}

void Socket::sendall(std::string_view data) { transmit(data); }

/// sendall(). Returns the size of the data, so that BufferedWriter::write() ends with a jump to
/// here.
///
/// Flat, because a return costs some 10 ns behind a system call, in 5 µs that a request takes: it
/// seems that the kernel's own calls have pushed the program's return addresses out of the stack by
/// which the processor predicts them.
[[gnu::flatten]] std::size_t Socket::transmit(std::string_view data, const detail::Corked* behind) {
    if (corked_ != behind && corked_ != nullptr) corked_->flush_before_send();
    const std::size_t size = data.size();
    detail::before_send(channel_);
    // The timeout applies to all of the data, so that a peer which takes single bytes does not
    // prolong it.
    const TimePoint until = channel_.until();
    int flags = 0;  // the first time: one system call that waits
    for (;;) {      // at least once: an empty datagram is a datagram
        const std::ptrdiff_t sent = send_some(data, flags);
        if (sent != -1) {
            data.remove_prefix(static_cast<std::size_t>(sent));
        } else if (flags == 0 || wait_again(channel_, output_needs(channel_), until) == -1) {
            throw_io_error(channel_, "send");
        }
        if (data.empty()) return size;
        flags = MSG_DONTWAIT;
        if (detail::begin_operation() == -1) throw_io_error(channel_, "send");
        detail::before_send(channel_);
    }
}

void Socket::sendto(std::string_view data, const Address& address) {
    send_datagram(
        data, address,
        channel_.datagrams != nullptr ? detail::arrival_of_request(channel_, address) : nullptr);
}

void Socket::send_datagram(std::string_view data, const Address& address,
                           const detail::Arrival* arrival) {
    if (channel_.datagrams != nullptr && channel_.datagrams->guard != nullptr &&
        !channel_.datagrams->guard->may_send(address, data.size(), detail::Clock::now())) {
        ++channel_.datagrams->withheld;
        return;
    }
    const SockAddr to = detail::to_sockaddr(address);
    detail::ReplyCollector* const replies = detail::current().replies;
    if (replies != nullptr && replies->take(*this, data, to, arrival)) return;
    const TimePoint until = channel_.until();
    std::optional<detail::FullQueue> full_queue;
    const auto wait = [&] {
        if (!address.is_unix()) return wait_again(channel_, Direction::write, until);
        if (!full_queue) full_queue.emplace(channel_, address, until);
        return full_queue->wait();
    };
    do {
        // A server that is being stopped still answers, so the error of begin_operation() is
        // ignored.
        static_cast<void>(detail::begin_operation());
        if (send_from(channel_, data, to, arrival) != -1) return;
    } while (errno == EAGAIN && wait() == 0);
    if (channel_.datagrams != nullptr) {
        ++channel_.datagrams->undelivered;
        detail::note_undelivered(address);
    }
    if (full_queue && full_queue->is_request_over()) {
        throw DeadlineExceeded("sendto " + address.to_string());
    }
    throw_io_error(channel_, "sendto", address);
}

std::pair<std::string, Address> Socket::recvfrom(std::size_t size) {
    flush_before_wait();
    const TimePoint until = channel_.until();
    for (;;) {
        if (detail::begin_operation() == -1) throw_io_error(channel_, "recvfrom");
        if (auto received = detail::receive_datagram(channel_.fd, size)) {
            return {std::move(received->data), std::move(received->from)};
        }
        if (errno != EAGAIN || wait_again(channel_, Direction::read, until) == -1) {
            throw_io_error(channel_, "recvfrom");
        }
    }
}

void Socket::shutdown(ShutdownHow how) {
    if (how != ShutdownHow::read) flush_corked();
    const int native = how == ShutdownHow::read    ? SHUT_RD
                       : how == ShutdownHow::write ? SHUT_WR
                                                   : SHUT_RDWR;
    if (how != ShutdownHow::read && channel_.filter != nullptr) channel_.filter->shutdown(channel_);
    if (sys::calls.shutdown(channel_.fd, native) == 0) return;
    if (how == ShutdownHow::both && errno == ENOTCONN && was_connected(channel_.fd)) return;
    throw_io_error(channel_, "shutdown");
}

void Socket::close() noexcept {
    if (!is_open()) return;  // close() has freed what was kept for the descriptor
    if (!detail::CloseOnFork::knows(channel_.fd)) return detail::close(channel_);
    const detail::CloseOnFork::Closing closing{channel_.fd};
    detail::close(channel_);
}

int Socket::detach() {
    if (channel_.filter != nullptr) {
        throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                                "detach a connection that speaks TLS");
    }
    if (corked_ != nullptr) uncork();
    detail::forget(channel_);
    detail::disown_descriptor(channel_.connection.get());
    detail::CloseOnFork::remove(channel_.fd);
    return std::exchange(channel_.fd, -1);
}

bool Socket::peer_has_ended() const {
    pollfd peer{channel_.fd, POLLRDHUP, 0};
    if (sys::retry_on_eintr([&] { return sys::calls.poll(&peer, 1, 0); }) == -1) {
        throw_system_error("poll");
    }
    if (!is_open() || (peer.revents & POLLNVAL) != 0) {
        throw std::system_error(EBADF, std::system_category(), "poll");
    }
    return peer.revents != 0;
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
    channel_.kernel_timeout_is_set.store(false);
}

std::optional<std::chrono::nanoseconds> Socket::gettimeout() const noexcept {
    if (channel_.timeout.count() < 0) return {};
    return channel_.timeout;
}

void Socket::set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept {
    channel_.deadline.store(deadline.value_or(detail::never));
}

void Socket::set_nodelay(bool on) {
    const int value = on ? 1 : 0;
    if (::setsockopt(channel_.fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) == -1 &&
        errno != EOPNOTSUPP && errno != ENOPROTOOPT) {
        throw_system_error("set TCP_NODELAY");
    }
}

}  // namespace socketserver
