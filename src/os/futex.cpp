// SPDX-License-Identifier: MIT
#include "os/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

#include "os/timespec.hpp"

namespace socketserver::detail {

namespace {

/// The call that reads a timespec as the C library lays it out: a program for 32 bits may have a
/// time_t of 64 bits, of which the older call would read one half as the seconds and the other as
/// the nanoseconds.
#ifdef SYS_futex_time64
constexpr long wait_call = sizeof(std::time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex;
#else
constexpr long wait_call = SYS_futex;
#endif

}  // namespace

bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::steady_clock::time_point until) {
    // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, which steady_clock is here.
    const timespec at = to_timespec(until.time_since_epoch());
    return ::syscall(wait_call, &word, FUTEX_WAIT_BITSET_PRIVATE, value, &at, nullptr,
                     FUTEX_BITSET_MATCH_ANY) != -1 ||
           errno != ETIMEDOUT;
}

void futex_wake(std::atomic<std::uint32_t>& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
}

void futex_wake_all(std::atomic<std::uint32_t>& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

}  // namespace socketserver::detail
