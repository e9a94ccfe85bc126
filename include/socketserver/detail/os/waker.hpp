// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// An eventfd: wake() makes its descriptor readable, which ends the wait of a thread that polls it.
/// wake() may be called from any thread, from a signal handler, and in a forked child, where it
/// reaches the parent.
class SOCKETSERVER_EXPORT Waker {
  public:
    /// @throws std::system_error if no descriptor can be had.
    Waker();
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;
    ~Waker();

    void wake() const noexcept;
    /// Undoes all calls of wake() so far: the descriptor is not readable any more.
    void reset() const noexcept;
    /// The descriptor that becomes readable by wake().
    int fileno() const noexcept { return watched_; }

    /// @name In a forked child
    /// @{

    /// Replaces the descriptor, which the child shares with its parent, by one of its own.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void renew();
    /// fileno() returns `descriptor` from now on; wake() still makes the parent's descriptor
    /// readable.
    void watch(int descriptor) noexcept { watched_ = descriptor; }
    /// @}

  private:
    std::atomic<int> descriptor_;
    std::atomic<int> watched_;
};

}  // namespace socketserver::detail
