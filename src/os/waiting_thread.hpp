// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "os/futex.hpp"
#include "socketserver/detail/os/thread_group.hpp"

namespace socketserver::detail {

/// A job, and whether it may outlive the group.
struct Task {
    std::unique_ptr<Job> job;
    bool daemon = false;
};

/// One thread that waits for its next job. It sleeps on a word of its own, not under the lock of
/// the group: a condition variable would make it contend for that lock when it wakes.
struct WaitingThread {
    Task task;
    enum : std::uint32_t { awake, asleep, woken };
    std::atomic<std::uint32_t> state{awake};

    void wake() {
        if (state.exchange(woken, std::memory_order_acq_rel) == asleep) futex_wake(state);
    }
    /// Returns false if the time is over before a task comes.
    bool sleep_until(std::chrono::steady_clock::time_point until) {
        std::uint32_t before = awake;
        if (!state.compare_exchange_strong(before, asleep, std::memory_order_acq_rel)) return true;
        while (futex_wait(state, asleep, until)) {
            if (state.load(std::memory_order_acquire) == woken) return true;
        }
        before = asleep;
        return !state.compare_exchange_strong(before, awake, std::memory_order_acq_rel);
    }
};

}  // namespace socketserver::detail
