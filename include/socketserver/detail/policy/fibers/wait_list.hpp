// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/io/watch.hpp"

namespace socketserver::detail {

struct Parker;

enum class Parked : unsigned char { woken, timed_out, cancelled };

/// Fibers and threads that wait for something, first come, first served. Guarded by a mutex of its
/// user, which nobody holds while waiting.
class SOCKETSERVER_EXPORT WaitList {
  public:
    /// Waits until unpark_one() or unpark_all() wakes the caller, but at most until the given time;
    /// nothing else ends the wait. The lock is held at the call and at the return.
    Parked park(std::unique_lock<std::mutex>& lock, TimePoint until, bool may_be_cancelled);
    /// Does what park() does. Returns false if the time is over.
    ///
    /// @throws Cancelled in a fiber whose server is being stopped, with the lock held.
    bool wait(std::unique_lock<std::mutex>& lock, TimePoint until);
    /// Ends the wait that has lasted the longest, and wakes all watches, which then check whether
    /// the object is ready. Returns false if nobody waits. To be called with the lock held.
    bool unpark_one() noexcept;
    void unpark_all() noexcept {
        while (unpark_one()) {
        }
    }
    /// The watches of the select() calls that wait for this object. To be used with the lock held.
    WatchList& watches() noexcept { return watches_; }

  private:
    void push(Parker& parker) noexcept;
    void remove(Parker& parker) noexcept;

    Parker* first_ = nullptr;
    Parker* last_ = nullptr;
    WatchList watches_;
};

}  // namespace socketserver::detail
