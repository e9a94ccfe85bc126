// SPDX-License-Identifier: MIT
// The members of Scheduler that end the waits of fibers: because of the kernel, the time, or other
// threads.
#include <sys/timerfd.h>

#include <algorithm>
#include <span>
#include <utility>

#include "io/channel_wait.hpp"
#include "os/timespec.hpp"
#include "policy/fibers/prefetch.hpp"
#include "policy/fibers/scheduler.hpp"

namespace socketserver::detail {

void Scheduler::wait_for_events() {
    if (!timers_.empty() && timers_.earliest() < armed_) arm_timer();
    const bool has_nothing = ready_.empty();
    const int timeout = has_nothing && mailbox_.may_sleep() ? -1 : 0;
    const int count =
        ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeout);
    if (has_nothing) mailbox_.is_awake();
    const auto reported = std::span{events_}.first(static_cast<std::size_t>(std::max(count, 0)));
    // This works in steps. Each step uses what the step before has fetched, so that the accesses to
    // memory overlap.
    for (const epoll_event& event : reported) __builtin_prefetch(FdRecord::at(event.data.u64), 1);
    for (const epoll_event& event : reported) {
        const FdRecord* record = FdRecord::at(event.data.u64);
        if (record == nullptr) continue;
        __builtin_prefetch(record->waiting, 1);
        if (record->connection != nullptr) prefetch(record->connection, 2);
    }
    for (const epoll_event& event : reported) report(event);
    if (std::exchange(output_record_.input, Readiness::unknown) == Readiness::ready) {
        report_output();
    }
    if (std::exchange(look_at_timers_, false)) expire_timers();
}

/// Sets the kernel's timer, but only if the time is earlier than the one to which it is set. A
/// timeout of epoll_wait() would have to be set and removed at each wait.
void Scheduler::arm_timer() noexcept {
    armed_ = timers_.earliest();
    itimerspec at{};
    // Zero would disarm it.
    at.it_value = to_timespec(std::max(armed_.time_since_epoch(), Clock::duration{1}));
    ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
}

void Scheduler::report(const epoll_event& event) noexcept {
    FdRecord* record = FdRecord::at(event.data.u64);
    if (record == nullptr || record->tag() != event.data.u64) {
        look_at_timers_ = true;  // mail, the timer, or a descriptor that was closed
        return;
    }
    constexpr unsigned last_input = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
    record->input = Readiness::ready;
    if ((event.events & last_input) != 0) record->read_to_the_end = true;
    if ((event.events & EPOLLRDHUP) != 0) record->has_ended = true;
    end_waits(*record);
}

void Scheduler::end_waits(const FdRecord& record) noexcept {
    if (record.waiting != nullptr) end_wait(*record.waiting, Wake::ready);
    for (ChannelWait* each = record.also_waiting; each != nullptr; each = each->next) {
        each->is_ready = true;
        end_wait(*static_cast<Fiber*>(each->waiter), Wake::ready);
    }
}

/// Events that do not fit are reported the next time, because the set of output is reported for as
/// long as something is ready in it.
void Scheduler::report_output() noexcept {
    const int count =
        ::epoll_wait(output_epoll_, events_.data(), static_cast<int>(events_.size()), 0);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t tag = events_[static_cast<std::size_t>(i)].data.u64;
        const FdRecord* record = FdRecord::at(tag);
        if (record != nullptr && record->tag() == tag) end_waits(*record);
    }
}

void Scheduler::expire_timers() noexcept {
    const TimePoint now = Clock::now();
    if (armed_ <= now) armed_ = never;
    while (!timers_.empty() && timers_.earliest() <= now) {
        auto& fiber = static_cast<Fiber&>(timers_.first());
        if (fiber.waits && fiber.deadline > now && fiber.deadline != never) {
            timers_.put_off_first(fiber.deadline);
            continue;
        }
        timers_.remove(fiber);
        if (fiber.waits && fiber.deadline <= now) end_wait(fiber, Wake::timeout);
    }
}

void Scheduler::post(std::unique_ptr<RequestJob> request) noexcept {
    mailbox_.send([&](Mail& mail) {
        mail.requests.push(std::move(request));
        add_load();
    });
}

void Scheduler::post_cancel() noexcept {
    mailbox_.send([](Mail& mail) { mail.cancel = true; });
}

void Scheduler::finish() noexcept {
    mailbox_.send([](Mail& mail) { mail.finish = true; });
}

void Scheduler::unpark(Fiber& fiber) noexcept {
    if (here() != this) return mailbox_.send([&](Mail& mail) { mail.unparked.push(fiber); });
    fiber.unparked = true;
    end_wait(fiber, Wake::unparked);
}

void Scheduler::wake() noexcept {
    mailbox_.send([](Mail&) {});
}

void Scheduler::read_mail() {
    mailbox_.take(being_read_);
    while (!being_read_.unparked.empty()) unpark(being_read_.unparked.pop());
    while (!being_read_.requests.empty()) posted_.push(being_read_.requests.pop());
    if (std::exchange(being_read_.finish, false)) finished_ = true;
    if (std::exchange(being_read_.cancel, false)) cancel();
    // If the main fiber waits for something else, it checks its mail after that.
    if (waits_for_mail_ && (!posted_.empty() || finished_)) end_wait(main_, Wake::ready);
}

}  // namespace socketserver::detail
