// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <mutex>

#include "os/futex.hpp"
#include "os/robust_mutex.hpp"
#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

/// What the protocols between threads are made of. They are templates with it as their parameter,
/// so that a test can give them another one, which tries all orders of their steps.
struct Platform {
    template <class T>
    using Atomic = std::atomic<T>;
    using Mutex = std::mutex;
    using SharedMutex = RobustMutex;
    using Waker = detail::Waker;

    static pid_t process() noexcept { return ::getpid(); }
    /// Sleeps for a moment, so that the thread that is waited for can run even if its priority is
    /// lower.
    static void pause() noexcept {
        constexpr timespec little{0, 50'000};
        ::nanosleep(&little, nullptr);
    }
    static bool wait(std::atomic<std::uint32_t>& word, std::uint32_t value,
                     std::chrono::steady_clock::time_point until) {
        return futex_wait(word, value, until);
    }
    static void wake(std::atomic<std::uint32_t>& word) { futex_wake(word); }
};

}  // namespace socketserver::detail
