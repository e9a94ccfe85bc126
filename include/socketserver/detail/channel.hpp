// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "socketserver/detail/connection.hpp"

namespace socketserver::detail {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// A deadline that never comes.
inline constexpr TimePoint never = TimePoint::max();

/// What the blocking-I/O seam knows of one descriptor. Owned by a Socket.
///
/// An operation ends at the earlier of `timeout` from its start and `deadline`.
struct Channel {
    int fd = -1;
    /// The peer reset the connection or closed its reading side: what follows is its doing.
    bool peer_gone = false;
    /// The kernel's own timeouts (SO_RCVTIMEO) equal `timeout`.
    bool kernel_timeout_is_set = true;
    /// For each operation; negative: none; zero: do not wait.
    std::chrono::nanoseconds timeout{-1};
    /// For all operations together.
    TimePoint deadline = never;
    /// What the carrier of the request keeps for this descriptor, from its first wait until
    /// BlockingIo::forget().
    void* registration = nullptr;
    /// What the server keeps of this connection; null for a socket that no server accepted.
    ConnectionHandle connection;

    TimePoint until() const {
        if (timeout.count() < 0) return deadline;
        const TimePoint now = Clock::now();
        // Without the overflow that now + timeout would have for a timeout of centuries.
        return deadline - now > timeout ? now + timeout : deadline;
    }
    bool is_timed() const { return timeout.count() >= 0 || deadline != never; }
};

}  // namespace socketserver::detail
