// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "os/platform.hpp"
#include "socketserver/detail/os/thread_group.hpp"

namespace socketserver::detail {

/// What a thread sleeps on until another one wakes it.
template <class Platform = detail::Platform>
class Sleep {
  public:
    void wake() {
        if (state_.exchange(woken, std::memory_order_acq_rel) == asleep) Platform::wake(state_);
    }
    /// Returns false if the time is over before wake() is called.
    bool sleep_until(std::chrono::steady_clock::time_point until) {
        std::uint32_t before = awake;
        bool is_woken = !state_.compare_exchange_strong(before, asleep, std::memory_order_acq_rel);
        while (!is_woken && Platform::wait(state_, asleep, until)) {
            is_woken = state_.load(std::memory_order_acquire) == woken;
        }
        before = asleep;
        if (!is_woken && state_.compare_exchange_strong(before, awake, std::memory_order_acq_rel)) {
            return false;
        }
        state_.store(awake, std::memory_order_relaxed);  // for the next time
        return true;
    }

  private:
    enum : std::uint32_t { awake, asleep, woken };
    typename Platform::template Atomic<std::uint32_t> state_{awake};
};

/// One thread that waits for its next job. It sleeps on a word of its own, not under the lock of
/// the group: a condition variable would make it contend for that lock when it wakes.
struct WaitingThread {
    std::unique_ptr<Job> job;
    Sleep<> sleep;
};

}  // namespace socketserver::detail
