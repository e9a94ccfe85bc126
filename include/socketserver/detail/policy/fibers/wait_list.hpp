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
    /// Waits until somebody calls unpark_one() for the caller, or for no longer than that; nothing
    /// else ends the wait. Called, and returns, with the lock held.
    Parked park(std::unique_lock<std::mutex>& lock, TimePoint until, bool may_be_cancelled);
    /// As park(). False: the time is over.
    ///
    /// @throws Cancelled in a fiber whose server is being stopped, with the lock held.
    bool wait(std::unique_lock<std::mutex>& lock, TimePoint until);
    /// Ends the wait that has lasted the longest, and wakes all who watch: they look whether there
    /// is something for them. False: nobody waits. Called with the lock held.
    bool unpark_one() noexcept;
    void unpark_all() noexcept {
        while (unpark_one()) {
        }
    }
    /// Who waits in select() for this and for something else. With the lock held.
    WatchList& watches() noexcept { return watches_; }

  private:
    void push(Parker& parker) noexcept;
    void remove(Parker& parker) noexcept;

    Parker* first_ = nullptr;
    Parker* last_ = nullptr;
    WatchList watches_;
};

}  // namespace socketserver::detail
