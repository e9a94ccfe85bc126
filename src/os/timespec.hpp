// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>

namespace socketserver::detail {

/// A time as the kernel takes it. Where time_t has 32 bits, a time beyond its last second becomes
/// that second.
constexpr timespec to_timespec(std::chrono::nanoseconds time) noexcept {
    return {.tv_sec = static_cast<std::time_t>(std::min<std::chrono::seconds::rep>(
                std::chrono::duration_cast<std::chrono::seconds>(time).count(),
                (std::numeric_limits<std::time_t>::max)())),
            .tv_nsec = static_cast<long>((time % std::chrono::seconds{1}).count())};
}

}  // namespace socketserver::detail
