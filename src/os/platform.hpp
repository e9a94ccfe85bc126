// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <atomic>
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
    static constexpr auto& wait = futex_wait;
    static constexpr auto& wake = futex_wake;
};

}  // namespace socketserver::detail
