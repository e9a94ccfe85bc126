// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <mutex>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// A mutex that a request may hold while it waits. A thread that has to wait for the mutex waits in
/// the kernel; a fiber is suspended. The one that has waited the longest gets it. It is not
/// recursive. Locking a free mutex is one atomic operation, and needs neither a descriptor nor
/// memory.
class SOCKETSERVER_EXPORT CarrierMutex {
  public:
    CarrierMutex() = default;
    CarrierMutex(const CarrierMutex&) = delete;
    CarrierMutex& operator=(const CarrierMutex&) = delete;

    /// @throws Cancelled in a fiber whose server is being stopped, if it has to wait.
    /// @throws std::system_error if it has to wait and no descriptor can be made.
    void lock();
    bool try_lock() noexcept {
        State expected = State::free;
        return state_.compare_exchange_strong(expected, State::locked);
    }
    void unlock() noexcept {
        State expected = State::locked;
        if (!state_.compare_exchange_strong(expected, State::free)) hand_over();
    }

  private:
    enum class State : unsigned char {
        free,
        locked,
        contended,  ///< locked, and somebody may wait
    };
    struct Waiter;

    void hand_over() noexcept;
    void remove(Waiter& waiter) noexcept;

    std::atomic<State> state_{State::free};
    std::mutex guard_;  // of the list; nobody waits with it
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
};

}  // namespace socketserver::detail
