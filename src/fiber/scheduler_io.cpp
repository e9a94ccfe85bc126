// SPDX-License-Identifier: MIT
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "fiber/blocking_pool.hpp"
#include "fiber/scheduler.hpp"
#include "socketserver/errors.hpp"
#include "sys.hpp"

namespace socketserver::detail {

namespace {

int fail(int error) noexcept {
    errno = error;
    return -1;
}

/// A datagram server answers all its clients through one socket, from all workers: no fiber can
/// have its registration for itself. It rarely has to wait, and then not for long.
bool is_datagram(Channel& channel) noexcept {
    if (channel.is_stream) return false;
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(channel.fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

}  // namespace

std::ptrdiff_t Scheduler::recv(Channel& channel, void* data, std::size_t size, int flags) {
    const bool may_wait = (flags & MSG_DONTWAIT) == 0 && channel.timeout.count() != 0;
    std::optional<TimePoint> until;
    for (;;) {
        if (--operations_left_ < 0 && channel.timeout.count() != 0) {
            // Its neighbours are to run: a caller that may not be suspended here waits next.
            if (!may_wait) return fail(EAGAIN);
            yield();
        }
        if (refuses()) return fail(ECANCELED);
        FdRecord* record = record_of(channel);
        // Who never waits would never hear of input: the kernel is asked.
        if (record == nullptr || record->input != Readiness::exhausted ||
            channel.timeout.count() == 0) {
            const ssize_t received = sys::retry_on_eintr(
                [&] { return sys::calls.recv(channel.fd, data, size, flags | MSG_DONTWAIT); });
            if (received == -1 && errno != EAGAIN) return -1;
            const bool drained =
                received == -1 ||
                (static_cast<std::size_t>(received) < size && received > 0 && channel.is_stream &&
                 (flags & ~MSG_DONTWAIT) == 0 && record != nullptr && !record->read_to_the_end);
            if (drained && record != nullptr) {
                record->input = Readiness::exhausted;
                channel.is_drained = true;
            }
            if (received != -1) return received;
        }
        if (!may_wait) return fail(EAGAIN);
        if (!until) until = channel.until();
        if (wait_for(channel, Direction::read, *until) == -1) return -1;
    }
}

std::ptrdiff_t Scheduler::send(Channel& channel, const void* data, std::size_t size, int flags) {
    const bool may_wait = (flags & MSG_DONTWAIT) == 0 && channel.timeout.count() != 0;
    std::optional<TimePoint> until;
    for (;;) {
        if (--operations_left_ < 0 && may_wait) yield();
        if (refuses()) return fail(ECANCELED);
        FdRecord* record = record_of(channel);
        if (record == nullptr || record->output != Readiness::exhausted) {
            const ssize_t sent = sys::retry_on_eintr(
                [&] { return sys::calls.send(channel.fd, data, size, flags | MSG_DONTWAIT); });
            if (sent >= 0 || errno != EAGAIN) return sent;
            if (record != nullptr && record->watches_output) record->output = Readiness::exhausted;
        }
        if (!may_wait) return fail(EAGAIN);
        if (!until) until = channel.until();
        if (wait_for(channel, Direction::write, *until) == -1) return -1;
    }
}

int Scheduler::wait(Channel& channel, Direction direction, TimePoint until) {
    if (refuses()) return fail(ECANCELED);
    if (operations_left_ < 0) {
        yield();
        if (refuses()) return fail(ECANCELED);
    }
    return wait_for(channel, direction, until);
}

int Scheduler::wait_for(Channel& channel, Direction direction, TimePoint until) {
    if (direction == Direction::write && is_datagram(channel)) return wait_a_little(until);
    FdRecord* record = record_of(channel);
    if (record == nullptr) record = register_channel(channel, direction);
    if (record == nullptr) return errno == EPERM ? 0 : -1;  // a file: always ready
    const bool reads = direction == Direction::read;
    Readiness& readiness = reads ? record->input : record->output;
    if (readiness == Readiness::unknown) {
        // Changing the entry makes the kernel look again, and report what is ready already.
        record->watches_output = record->watches_output || !reads;
        if (control(EPOLL_CTL_MOD, *record) == -1) return -1;
    }
    if (reads) channel.is_drained = false;
    if (std::exchange(readiness, Readiness::unknown) == Readiness::ready) return 0;
    (reads ? record->reader : record->writer) = running_;
    readiness = Readiness::exhausted;
    const Wake wake = suspend(until, true);
    if (wake == Wake::closed) return fail(EBADF);
    (reads ? record->reader : record->writer) = nullptr;
    if (wake == Wake::timeout) return fail(ETIMEDOUT);
    if (wake == Wake::cancelled) return fail(ECANCELED);
    readiness = Readiness::unknown;
    return 0;
}

int Scheduler::wait_a_little(TimePoint until) {
    const TimePoint now = Clock::now();
    if (now >= until) return fail(ETIMEDOUT);
    const Wake wake = suspend(std::min(until, now + std::chrono::milliseconds{1}), true);
    return wake == Wake::cancelled ? fail(ECANCELED) : 0;
}

FdRecord* Scheduler::record_of(Channel& channel) const noexcept {
    auto* record = static_cast<FdRecord*>(channel.registration);
    return record != nullptr && owns(*record) ? record : nullptr;
}

FdRecord* Scheduler::register_channel(Channel& channel, Direction direction) {
    forget(channel);  // that of another thread
    FdRecord& record = registrations_->take();
    record.fd = channel.fd;
    record.connection = channel.connection.get();
    record.watches_output = direction == Direction::write;
    int done = control(EPOLL_CTL_ADD, record);
    // The descriptor was given away and came back.
    if (done == -1 && errno == EEXIST) done = control(EPOLL_CTL_MOD, record);
    if (done == -1) {
        const int error = errno;
        registrations_->give_back(record);
        errno = error;
        return nullptr;
    }
    // What is ready already will be reported.
    record.input = Readiness::exhausted;
    if (record.watches_output) record.output = Readiness::exhausted;
    channel.registration = &record;
    return &record;
}

int Scheduler::control(int operation, FdRecord& record) const {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    // Only once somebody waits for it: a Unix socket would report each time the peer reads.
    if (record.watches_output) event.events |= EPOLLOUT;
    event.data.u64 = record.tag();
    return sys::calls.epoll_ctl(epoll_, operation, record.fd, &event);
}

FdRecord& Scheduler::polled_record(int fd) {
    for (FdRecord* record : polled_) {
        if (record->fd == fd) return *record;
    }
    polled_.reserve(polled_.size() + 1);
    polled_.push_back(&registrations_->take());
    polled_.back()->fd = fd;
    return *polled_.back();
}

bool Scheduler::watch_for_poll(int fd) {
    FdRecord& record = polled_record(fd);
    if (record.input != Readiness::unknown) return true;
    int done = control(EPOLL_CTL_MOD, record);
    if (done == -1 && errno == ENOENT) done = control(EPOLL_CTL_ADD, record);
    if (done == -1) return false;
    record.input = Readiness::exhausted;
    return true;
}

int Scheduler::take_ready(pollfd* fds, std::size_t count) noexcept {
    int ready = 0;
    for (std::size_t i = 0; i < count; ++i) {
        fds[i].revents = 0;
        for (FdRecord* record : polled_) {
            if (record->fd != fds[i].fd || record->input != Readiness::ready) continue;
            record->input = Readiness::unknown;
            fds[i].revents = POLLIN;
            ++ready;
        }
    }
    return ready;
}

int Scheduler::poll(pollfd* fds, std::size_t count, TimePoint until) {
    // What the serving loop waits for stays registered. Anybody else, such as a server inside of a
    // handler, waits in a thread: its descriptors may be in the epoll set already.
    if (!running_->is_main) {
        int result = 0;
        int error = 0;
        run_blocking([&] {
            result = detail::poll(fds, count, until);
            error = errno;
        });
        errno = error;
        return result;
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (fds[i].fd >= 0 && !watch_for_poll(fds[i].fd)) return -1;
    }
    for (;;) {
        if (const int ready = take_ready(fds, count); ready > 0) return ready;
        for (FdRecord* record : polled_) record->reader = running_;
        const Wake wake = suspend(until, false);
        for (FdRecord* record : polled_) record->reader = nullptr;
        if (wake != Wake::timeout) continue;
        const int ready = take_ready(fds, count);
        // Next time the kernel looks at each again: somebody may have replaced a descriptor.
        for (FdRecord* record : polled_) record->input = Readiness::unknown;
        return ready;
    }
}

void Scheduler::run_blocking(const std::function<void()>& work) { blocking_.run(work); }

void Scheduler::sleep_until(TimePoint until) {
    if (suspend(until, true) == Wake::cancelled) throw Cancelled("sleep");
}

}  // namespace socketserver::detail
