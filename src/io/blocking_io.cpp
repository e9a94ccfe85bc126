// SPDX-License-Identifier: MIT
#include "socketserver/detail/io/blocking_io.hpp"

#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <limits>
#include <thread>
#include <utility>

#include "io/reply_collector.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

/// Where nothing but the kernel carries the caller.
int kernel_wait(const Channel& channel, Direction direction, TimePoint until) {
    const short events = direction == Direction::read ? POLLIN : POLLOUT;
    pollfd entry{channel.fd, events, 0};
    const int ready = poll(&entry, 1, until);
    if (ready == 0) errno = ETIMEDOUT;
    return ready > 0 ? 0 : -1;
}

/// Sets the timeout in the kernel, which then measures it, as long as one operation is one system
/// call. Returns false if the kernel does not accept it.
bool set_kernel_timeout(Channel& channel) {
    // Rounded up before it is split: just below a second the rest is a whole one.
    const auto each = std::chrono::ceil<std::chrono::microseconds>(
        std::max(channel.timeout, std::chrono::nanoseconds{0}));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(each);
    timeval value{};
    // A time_t of 32 bits may be too small.
    value.tv_sec = static_cast<std::time_t>(std::min<std::chrono::seconds::rep>(
        seconds.count(), (std::numeric_limits<std::time_t>::max)()));
    value.tv_usec = static_cast<suseconds_t>((each - seconds).count());
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (sys::calls.setsockopt(channel.fd, SOL_SOCKET, option, &value, sizeof value) == -1) {
            return false;
        }
    }
    channel.kernel_timeout_is_set.store(true);
    return true;
}

/// One operation on a descriptor that blocks: one system call, unless a signal comes or the whole
/// request has a deadline.
template <class Data>
std::ptrdiff_t kernel_operation(ssize_t (*call)(int fd, Data* data, std::size_t size, int flags),
                                Channel& channel, Direction direction, Data* data, std::size_t size,
                                int flags) {
    const auto at_once = [&] {
        return sys::retry_on_eintr(
            [&] { return call(channel.fd, data, size, flags | MSG_DONTWAIT); });
    };
    if ((flags & MSG_DONTWAIT) != 0 || channel.timeout.count() == 0) return at_once();
    if (ReplyCollector* replies = current().replies) replies->flush();
    // Taken before the first attempt, or a signal would begin the time anew.
    const TimePoint until = channel.until();
    if (channel.deadline.load() == never &&
        (channel.kernel_timeout_is_set.load() || set_kernel_timeout(channel))) {
        const std::ptrdiff_t result = call(channel.fd, data, size, flags);
        if (result != -1) return result;
        if (errno != EINTR && errno != EAGAIN) return -1;
        // The time is over; or it was a signal, after which the kernel's timer would start anew; or
        // somebody has made the descriptor non-blocking.
    }
    for (;;) {
        const std::ptrdiff_t result = at_once();
        if (result != -1 || errno != EAGAIN) return result;
        if (kernel_wait(channel, direction, until) == -1) return -1;
    }
}

void forget(Channel& channel, bool stays_open) noexcept {
    for (Registration** each : {&channel.reading, &channel.writing}) {
        if (*each != nullptr) std::exchange(*each, nullptr)->forget(stays_open);
    }
}

/// With SO_LINGER set, close(2) waits for the peer, and does not suspend: every fiber of the worker
/// would wait for it. Without it the kernel still sends the data that is left.
void end_lingering(int fd) noexcept {
    linger value{};
    socklen_t size = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) == -1) return;
    if (value.l_onoff == 0 || value.l_linger == 0) return;  // time 0 resets without waiting
    value.l_onoff = 0;
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

}  // namespace

BlockingIo::~BlockingIo() = default;

constinit thread_local Current current_of_this_thread;

std::ptrdiff_t recv(Channel& channel, void* data, std::size_t size, int flags) {
    if (BlockingIo* io = current().io) return io->recv(channel, data, size, flags);
    return kernel_operation(sys::calls.recv, channel, Direction::read, data, size, flags);
}

std::ptrdiff_t send(Channel& channel, const void* data, std::size_t size, int flags) {
    if (BlockingIo* io = current().io) return io->send(channel, data, size, flags | MSG_NOSIGNAL);
    return kernel_operation(sys::calls.send, channel, Direction::write, data, size,
                            flags | MSG_NOSIGNAL);
}

int wait(Channel& channel, Direction direction, TimePoint until) {
    if (BlockingIo* io = current().io) return io->wait(channel, direction, until);
    return kernel_wait(channel, direction, until);
}

int poll(pollfd* fds, std::size_t count, TimePoint until) {
    if (BlockingIo* io = current().io) return io->poll(fds, count, until);
    if (ReplyCollector* replies = current().replies) replies->flush();
    for (;;) {
        // Rounded up, as Python rounds: a wait never ends before its time.
        const std::chrono::milliseconds left =
            until == never
                ? std::chrono::milliseconds{-1}
                : std::max(std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()),
                           std::chrono::milliseconds{0});
        const int ready = sys::calls.poll(
            fds, count, static_cast<int>(std::min<long long>(left.count(), INT_MAX)));
        if (ready > 0 || (ready == 0 && until <= Clock::now()) || (ready < 0 && errno != EINTR)) {
            return ready;
        }
    }
}

void forget(Channel& channel) noexcept { forget(channel, true); }

void sleep_until(TimePoint until) {
    if (BlockingIo* io = current().io) return io->sleep_until(until);
    if (ReplyCollector* replies = current().replies) replies->flush();
    std::this_thread::sleep_until(until);
}

void yield() {
    if (BlockingIo* io = current().io) return io->yield();
    if (ReplyCollector* replies = current().replies) replies->flush();
    std::this_thread::yield();
}

void close(Channel& channel) noexcept {
    if (channel.reading != nullptr || channel.writing != nullptr) forget(channel, false);
    disown_descriptor(channel.connection.get());
    if (channel.fd == -1) return;
    channel.filter.reset();
    if (current().io != nullptr && channel.stream != ByteStream::unix_domain) {
        end_lingering(channel.fd);
    }
    // Not repeated on EINTR: Linux has freed the descriptor, and another thread may have it now.
    sys::calls.close(std::exchange(channel.fd, -1));
}

void run_blocking(const std::function<void()>& work) {
    if (BlockingIo* io = current().io) return io->run_blocking(work);
    if (ReplyCollector* replies = current().replies) replies->flush();
    work();
}

ServerMark::ServerMark(const void* server, Slot slot) noexcept
    : server_{server}, slot_{slot}, outer_{std::exchange(current().*slot, this)} {}

ServerMark::ServerMark(const void* server, const Datagram& request) noexcept
    : server_{server},
      slot_{&Current::request},
      datagram_{&request},
      outer_{std::exchange(current().request, this)} {}

ServerMark::ServerMark(const void* server, const Socket& request) noexcept
    : server_{server},
      slot_{&Current::request},
      connection_{&request},
      outer_{std::exchange(current().request, this)} {}

ServerMark::~ServerMark() { current().*slot_ = outer_; }

bool ServerMark::stands(const void* server, Slot slot) noexcept {
    for (const ServerMark* mark = current().*slot; mark != nullptr; mark = mark->outer_) {
        if (mark->server_ == server) return true;
    }
    return false;
}

}  // namespace socketserver::detail
