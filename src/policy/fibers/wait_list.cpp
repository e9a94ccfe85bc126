// SPDX-License-Identifier: MIT
#include "socketserver/detail/policy/fibers/wait_list.hpp"

#include <condition_variable>

#include "policy/fibers/scheduler.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

/// One waiting fiber or thread.
struct Parker {
    Scheduler* scheduler = Scheduler::here();  // null for a thread
    Fiber* fiber = scheduler != nullptr ? &scheduler->running() : nullptr;
    Parker* next = nullptr;
    Parker* previous = nullptr;
    bool woken = false;
    std::condition_variable thread{};
};

Parked WaitList::park(std::unique_lock<std::mutex>& lock, TimePoint until, bool may_be_cancelled) {
    Parker self;
    push(self);
    Parked result = Parked::timed_out;
    if (self.scheduler == nullptr) {
        const auto woken = [&] { return self.woken; };
        if (until == never) {
            self.thread.wait(lock, woken);
        } else {
            self.thread.wait_until(lock, until, woken);
        }
    } else {
        lock.unlock();
        const Wake wake = self.scheduler->park(until, may_be_cancelled);
        lock.lock();
        if (self.woken && wake != Wake::unparked) {
            // Woken at the same moment: an unpark() for this one is on its way, and needs this
            // object.
            lock.unlock();
            while (self.scheduler->park(never, false) != Wake::unparked) {
            }
            lock.lock();
        }
        if (wake == Wake::cancelled) result = Parked::cancelled;
    }
    if (self.woken) return Parked::woken;
    remove(self);
    return result;
}

bool WaitList::wait(std::unique_lock<std::mutex>& lock, TimePoint until) {
    const Parked parked = park(lock, until, true);
    if (parked == Parked::cancelled) throw Cancelled("wait for another fiber");
    return parked == Parked::woken;
}

bool WaitList::unpark_one() noexcept {
    watches_.wake_all();
    if (first_ == nullptr) return false;
    Parker& parker = *first_;
    remove(parker);
    parker.woken = true;
    if (parker.scheduler != nullptr) {
        parker.scheduler->unpark(*parker.fiber);
    } else {
        parker.thread.notify_one();
    }
    return true;
}

void WaitList::push(Parker& parker) noexcept {
    parker.previous = last_;
    (last_ != nullptr ? last_->next : first_) = &parker;
    last_ = &parker;
}

void WaitList::remove(Parker& parker) noexcept {
    (parker.previous != nullptr ? parker.previous->next : first_) = parker.next;
    (parker.next != nullptr ? parker.next->previous : last_) = parker.previous;
}

}  // namespace socketserver::detail
