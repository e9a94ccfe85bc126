// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace socketserver::detail {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// A deadline that never comes.
inline constexpr TimePoint never = (TimePoint::max)();

/// The point in time that lies `time` after `now`. `never` if the clock does not reach that far,
/// so that the largest duration means "no limit"; `now` if the time is negative.
///
/// The durations are compared in the unit of `time`, because the largest number of milliseconds
/// cannot be converted to nanoseconds.
template <class Rep, class Period>
TimePoint deadline_after(std::chrono::duration<Rep, Period> time,
                         TimePoint now = Clock::now()) noexcept {
    using Duration = std::chrono::duration<Rep, Period>;
    if (time <= Duration::zero()) return now;
    if (time >= std::chrono::duration_cast<Duration>(never - now)) return never;
    return now + std::chrono::duration_cast<Clock::duration>(time);
}

}  // namespace socketserver::detail
