// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "socketserver/detail/export.hpp"

// std::atomic::wait has no time limit in C++20, and a condition variable needs a lock.
namespace socketserver::detail {

/// Sleeps while `word` is `value`, at most until a point in time. Returns false when the time is
/// over. May return true without a reason, as condition variables may.
SOCKETSERVER_EXPORT bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value,
                                    std::chrono::steady_clock::time_point until);
/// Wakes one sleeper, or all of them. The word may have been destroyed: it is not read.
SOCKETSERVER_EXPORT void futex_wake(std::atomic<std::uint32_t>& word);
SOCKETSERVER_EXPORT void futex_wake_all(std::atomic<std::uint32_t>& word);

}  // namespace socketserver::detail
