// SPDX-License-Identifier: MIT
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "io/channel_wait.hpp"
#include "os/sys.hpp"
#include "policy/fibers/blocking_pool.hpp"
#include "policy/fibers/scheduler.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

int fail(int error) noexcept {
    errno = error;
    return -1;
}

/// A datagram server answers all its clients through one socket, from all workers, so no fiber can
/// own the registration of that socket. Sending rarely has to wait, and then only briefly.
bool is_datagram(const Channel& channel) noexcept {
    if (channel.stream != ByteStream::unknown) return false;
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(channel.fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

/// The most that is given to one send(2), because a peer that receives at once could keep a larger
/// one busy.
constexpr std::size_t largest_send = std::size_t{256} * 1024;

std::ptrdiff_t count_ready(std::span<const ChannelWait> waits) noexcept {
    return std::count_if(waits.begin(), waits.end(),
                         [](const ChannelWait& each) { return each.is_ready; });
}

bool is_ready_now(const FdRecord& record, short events) noexcept {
    pollfd entry{record.fd, events, 0};
    return sys::retry_on_eintr([&] { return sys::calls.poll(&entry, 1, 0); }) != 0;
}

/// Whether a fiber waits until it may send.
bool is_output_wanted(const FdRecord& record) noexcept {
    if (record.waiting != nullptr) return true;
    for (const ChannelWait* each = record.also_waiting; each != nullptr; each = each->next) {
        if (each->what == ChannelWait::For::output) return true;
    }
    return false;
}

struct Received {
    ssize_t size;
    bool is_all;  ///< as far as this call can tell, no input was left
};

/// From a Unix stream. A receive ends at a passed descriptor, or where another process has written,
/// even if there is more input. Only recvmsg(2) tells that.
Received receive_message(const Channel& channel, void* data, std::size_t size, int flags) {
    iovec part{data, size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t received = sys::calls.recvmsg(channel.fd, &message, flags | MSG_DONTWAIT);
    return {received, (message.msg_flags & MSG_CTRUNC) == 0};
}

}  // namespace

std::ptrdiff_t Scheduler::recv(Channel& channel, void* data, std::size_t size, int flags) {
    const bool may_wait = (flags & MSG_DONTWAIT) == 0 && channel.timeout.count() != 0;
    std::optional<TimePoint> until;
    for (;;) {
        if (--operations_left_ < 0 && may_wait) yield();
        if (refuses()) return fail(ECANCELED);
        FdRecord* record = record_of(channel.reading);
        // A caller that does not wait gets the kernel's answer, not what was known some time ago.
        if (!may_wait || record == nullptr || record->input != Readiness::exhausted) {
            const auto [received, is_all] =
                channel.stream == ByteStream::unix_domain
                    ? receive_message(channel, data, size, flags)
                    : Received{sys::calls.recv(channel.fd, data, size, flags | MSG_DONTWAIT),
                               channel.stream == ByteStream::tcp};
            if (received == -1 && errno == EINTR) continue;
            if (received == -1 && errno != EAGAIN) return -1;
            if (record != nullptr) {
                const bool is_short = static_cast<std::size_t>(received) < size && received > 0;
                // After the end of a stream there is no event that could be waited for.
                if ((received == -1 && !record->has_ended) ||
                    (is_short && is_all && (flags & ~MSG_DONTWAIT) == 0 &&
                     !record->read_to_the_end)) {
                    record->input = Readiness::exhausted;
                }
            }
            if (received != -1) return received;
        }
        if (!may_wait) return fail(EAGAIN);
        if (!until) until = channel.until();
        if (wait(channel, Direction::read, *until) == -1) return -1;
    }
}

std::ptrdiff_t Scheduler::send(Channel& channel, const void* data, std::size_t size, int flags) {
    const bool may_wait = (flags & MSG_DONTWAIT) == 0 && channel.timeout.count() != 0;
    if (channel.stream != ByteStream::unknown) size = std::min(size, largest_send);
    std::optional<TimePoint> until;
    for (;;) {
        if (--operations_left_ < 0 && may_wait) yield();
        if (refuses()) return fail(ECANCELED);
        const ssize_t sent = sys::calls.send(channel.fd, data, size, flags | MSG_DONTWAIT);
        if (sent == -1 && errno == EINTR) continue;
        if (sent >= 0 || errno != EAGAIN || !may_wait) return sent;
        if (!until) until = channel.until();
        if (wait(channel, Direction::write, *until) == -1) return -1;
    }
}

bool Scheduler::may_receive(Channel& channel) {
    // A caller that never waits would never be told of input, so it may always try. It also does
    // not have to yield to other fibers.
    if (channel.timeout.count() == 0) return true;
    if (operations_left_ < 0) yield();
    const FdRecord* record = record_of(channel.reading);
    return record == nullptr || record->input != Readiness::exhausted;
}

int Scheduler::begin_operation() {
    if (--operations_left_ < 0) yield();
    return refuses() ? fail(ECANCELED) : 0;
}

int Scheduler::wait(Channel& channel, Direction direction, TimePoint until) {
    if (refuses()) return fail(ECANCELED);
    if (operations_left_ < 0) {
        yield();
        if (refuses()) return fail(ECANCELED);
    }
    const bool reads = direction == Direction::read;
    if (!reads && is_datagram(channel)) return wait_a_little(until);
    FdRecord* record = record_of(reads ? channel.reading : channel.writing);
    if (record == nullptr) {
        record = register_channel(channel, direction);
        if (record == nullptr) return errno == EPERM ? 0 : -1;  // a file, which is always ready
    } else if (!reads || record->input == Readiness::unknown) {
        // Changing the entry makes the kernel check again, and report what is ready already.
        if (watch(*record, false) == -1) return -1;
    }
    if (std::exchange(record->input, Readiness::exhausted) == Readiness::ready) {
        record->input = Readiness::unknown;
        return 0;
    }
    record->waiting = running_;
    const Wake wake = suspend(until, true);
    if (wake == Wake::closed) return fail(EBADF);  // the record may have another use by now
    record->waiting = nullptr;
    if (wake == Wake::timeout) return fail(ETIMEDOUT);
    if (wake == Wake::cancelled) return fail(ECANCELED);
    record->input = Readiness::unknown;
    return 0;
}

/// While the fiber is suspended, each wait is in the list of its record, beside a fiber that waits
/// for this record alone.
int Scheduler::wait_any(std::span<ChannelWait> waits, TimePoint until) {
    if (refuses()) return fail(ECANCELED);
    struct AtEnd {
        std::span<ChannelWait> waits;
        ~AtEnd() {
            for (ChannelWait& each : waits) leave_list(each);
        }
    } const at_end{waits};
    // If something was reported before, nothing has to be watched.
    for (ChannelWait& each : waits) {
        each.waiter = running_;
        each.registration = nullptr;
        each.is_ready = was_reported(each);
    }
    for (;;) {
        if (const std::ptrdiff_t ready = count_ready(waits); ready > 0) {
            return static_cast<int>(ready);
        }
        for (ChannelWait& each : waits) {
            if (begin_wait(each) == -1) return -1;
        }
        if (count_ready(waits) > 0) continue;
        const Wake wake = suspend(until, true);
        if (wake == Wake::closed) return fail(EBADF);  // a record may have another use by now
        if (wake == Wake::timeout) return 0;
        if (wake == Wake::cancelled) return fail(ECANCELED);
        for (ChannelWait& each : waits) {
            if (each.is_ready) each.is_ready = confirm(each);
        }
    }
}

/// Whether input was reported before the wait, and is still there.
bool Scheduler::was_reported(const ChannelWait& wait) noexcept {
    if (wait.what != ChannelWait::For::input) return false;
    FdRecord* const record = record_of(wait.channel->reading);
    return record != nullptr && record->input == Readiness::ready && look_for_input(*record);
}

/// Whether the report that ended the wait is what was waited for. A report of input may be one of
/// urgent data, and one of output may be for another fiber.
bool Scheduler::confirm(const ChannelWait& wait) noexcept {
    auto& record = static_cast<FdRecord&>(*wait.registration);
    switch (wait.what) {
        case ChannelWait::For::input:
            if (record.read_to_the_end) return look_for_input(record);
            record.input = Readiness::unknown;
            return true;
        case ChannelWait::For::output:
            return true;
        default:
            return is_ready_now(record, 0);
    }
}

bool Scheduler::look_for_input(FdRecord& record) noexcept {
    const bool is_ready = is_ready_now(record, POLLIN);
    record.input = is_ready ? Readiness::unknown : Readiness::exhausted;
    return is_ready;
}

/// Puts the wait into the list of its record, and has the kernel report what is not known. Returns
/// -1 with errno if that is impossible.
int Scheduler::begin_wait(ChannelWait& wait) {
    const bool reads = wait.what == ChannelWait::For::input;
    const bool is_listed = wait.registration != nullptr;
    if (is_listed && reads) return 0;
    Channel& channel = *wait.channel;
    FdRecord* record = record_of(reads ? channel.reading : channel.writing);
    unsigned output_events = EPOLLOUT;
    if (wait.what == ChannelWait::For::hang_up &&
        (record == nullptr || !is_output_wanted(*record))) {
        output_events = 0;
    }
    if (record == nullptr) {
        record =
            register_channel(channel, reads ? Direction::read : Direction::write, output_events);
        if (record == nullptr) {
            wait.is_ready = errno == EPERM;  // a file
            return wait.is_ready ? 0 : -1;
        }
    } else if (!reads || record->input == Readiness::unknown) {
        if (watch(*record, false, output_events) == -1) return -1;
    }
    if (reads) record->input = Readiness::exhausted;
    if (is_listed) return 0;
    wait.registration = record;
    wait.next = std::exchange(record->also_waiting, &wait);
    return 0;
}

void Scheduler::leave_list(ChannelWait& wait) noexcept {
    if (wait.registration == nullptr) return;
    ChannelWait** link = &static_cast<FdRecord&>(*wait.registration).also_waiting;
    while (*link != &wait) link = &(*link)->next;
    *link = wait.next;
    wait.registration = nullptr;
}

int Scheduler::wait_a_little(TimePoint until) {
    const TimePoint now = Clock::now();
    if (now >= until) return fail(ETIMEDOUT);
    const Wake wake = suspend(std::min(until, now + std::chrono::milliseconds{1}), true);
    return wake == Wake::cancelled ? fail(ECANCELED) : 0;
}

FdRecord* Scheduler::register_channel(Channel& channel, Direction direction,
                                      unsigned output_events) {
    Registration*& registration = direction == Direction::read ? channel.reading : channel.writing;
    // This is the registration of another scheduler, in which no fiber waits in this direction any
    // more.
    if (registration != nullptr) std::exchange(registration, nullptr)->forget(true);
    FdRecord& record = registrations_->take(channel.fd, direction);
    record.connection = channel.connection.get();
    if (watch(record, true, output_events) == -1) {
        const int error = errno;
        registrations_->give_back(record);
        errno = error;
        return nullptr;
    }
    registration = &record;
    return &record;
}

/// Adds or changes the entry of a descriptor; what is ready already will be reported. If the
/// program has replaced the file behind the number, the entry may exist although the record is new,
/// or may be gone.
int Scheduler::watch(const FdRecord& record, bool is_new, unsigned output_events) const noexcept {
    const bool reads = record.direction == Direction::read;
    epoll_event event{};
    event.events = reads ? EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET : output_events | EPOLLONESHOT;
    event.data.u64 = record.tag();
    const auto control = [&](int operation) {
        return sys::calls.epoll_ctl(reads ? epoll_ : output_epoll_, operation, record.fd, &event);
    };
    const int done = control(is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
    if (done == -1 && errno == EEXIST) return control(EPOLL_CTL_MOD);
    if (done == -1 && errno == ENOENT) return control(EPOLL_CTL_ADD);
    return done;
}

void Scheduler::stop_watching(const FdRecord& record) const noexcept {
    const int epoll = record.direction == Direction::read ? epoll_ : output_epoll_;
    sys::calls.epoll_ctl(epoll, EPOLL_CTL_DEL, record.fd, nullptr);
}

bool Scheduler::watch_for_poll(std::span<const pollfd> entries) {
    for (const pollfd& entry : entries) {
        if (entry.fd < 0) continue;
        auto found = std::ranges::find(polled_, entry.fd, &FdRecord::fd);
        if (found == polled_.end()) {
            polled_.reserve(polled_.size() + 1);
            polled_.push_back(&registrations_->take(entry.fd, Direction::read));
            found = std::prev(polled_.end());
        }
        FdRecord& record = **found;
        if (record.input != Readiness::unknown) continue;
        if (watch(record, false) == -1) return false;
        record.input = Readiness::exhausted;
    }
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
    // The descriptors of the serving loop stay registered. Any other caller, such as a server
    // inside of a handler, waits in a thread, because its descriptors may be in the epoll set
    // already.
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
    if (!watch_for_poll({fds, count})) return -1;
    for (;;) {
        if (const int ready = take_ready(fds, count); ready > 0) return ready;
        for (FdRecord* record : polled_) record->waiting = running_;
        const Wake wake = suspend(until, false);
        for (FdRecord* record : polled_) record->waiting = nullptr;
        if (wake != Wake::timeout) continue;
        const int ready = take_ready(fds, count);
        // The next time the kernel checks each descriptor again, because the program may have
        // replaced one.
        for (FdRecord* record : polled_) record->input = Readiness::unknown;
        return ready;
    }
}

void Scheduler::run_blocking(const std::function<void()>& work) { blocking_.run(work); }

void Scheduler::sleep_until(TimePoint until) {
    if (suspend(until, true) == Wake::cancelled) throw Cancelled("sleep");
}

}  // namespace socketserver::detail
