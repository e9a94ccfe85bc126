// SPDX-License-Identifier: MIT
#include <utility>

#include "socketserver/detail/policy/fibers/wait_list.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/fiber_sync.hpp"

namespace socketserver {

using detail::Parked;

struct Mutex::State {
    std::mutex mutex;
    bool locked = false;
    detail::WaitList waiting;
};

Mutex::Mutex() : state_{std::make_unique<State>()} {}
Mutex::~Mutex() = default;

void Mutex::lock() {
    std::unique_lock lock{state_->mutex};
    if (state_->locked) {
        state_->waiting.park(lock, detail::never, false);  // unlock() passes it on, still locked
    } else {
        state_->locked = true;
    }
}

bool Mutex::try_lock() {
    const std::lock_guard lock{state_->mutex};
    return !std::exchange(state_->locked, true);
}

void Mutex::unlock() {
    const std::lock_guard lock{state_->mutex};
    if (!state_->waiting.unpark_one()) state_->locked = false;
}

struct ConditionVariable::State {
    std::mutex mutex;
    detail::WaitList waiting;
};

ConditionVariable::ConditionVariable() : state_{std::make_unique<State>()} {}
ConditionVariable::~ConditionVariable() = default;

bool ConditionVariable::wait_until(std::unique_lock<Mutex>& lock,
                                   std::chrono::steady_clock::time_point until) {
    Parked parked{};
    {
        std::unique_lock inner{state_->mutex};
        lock.unlock();
        parked = state_->waiting.park(inner, until, true);
    }
    lock.lock();
    if (parked == Parked::cancelled) throw Cancelled("wait for a condition");
    return parked == Parked::woken;
}

void ConditionVariable::notify_one() noexcept {
    const std::lock_guard lock{state_->mutex};
    state_->waiting.unpark_one();
}

void ConditionVariable::notify_all() noexcept {
    const std::lock_guard lock{state_->mutex};
    state_->waiting.unpark_all();
}

}  // namespace socketserver
