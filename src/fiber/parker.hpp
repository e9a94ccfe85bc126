// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>

#include "socketserver/detail/channel.hpp"

namespace socketserver::detail {

struct Parker;

enum class Parked : unsigned char { woken, timed_out, cancelled };

/// Fibers and threads that wait for something, first come, first served. Guarded by a mutex of its
/// user, which nobody holds while waiting.
class WaitList {
  public:
    /// Waits until somebody calls unpark_one() for the caller. Called, and returns, with the lock
    /// held.
    Parked park(std::unique_lock<std::mutex>& lock, TimePoint until, bool may_be_cancelled);
    /// Ends the wait that has lasted the longest. False: nobody waits. Called with the lock held.
    bool unpark_one() noexcept;

  private:
    void push(Parker& parker) noexcept;
    void remove(Parker& parker) noexcept;

    Parker* first_ = nullptr;
    Parker* last_ = nullptr;
};

}  // namespace socketserver::detail
