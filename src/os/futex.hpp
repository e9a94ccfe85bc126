// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

// std::atomic::wait has no time limit in C++20, and a condition variable needs a lock.
namespace socketserver::detail {

/// Sleeps while `word` is `value`, at most until a point in time. False when the time is over; may
/// wake for no reason.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::steady_clock::time_point until);
/// Wakes one sleeper, or all. The word may be gone meanwhile: nothing is read of it.
void futex_wake(std::atomic<std::uint32_t>& word);
void futex_wake_all(std::atomic<std::uint32_t>& word);

}  // namespace socketserver::detail
