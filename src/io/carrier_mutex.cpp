// SPDX-License-Identifier: MIT
#include "socketserver/detail/io/carrier_mutex.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"

namespace socketserver::detail {

/// One waiter. It waits for a descriptor of its own, because every carrier can wait for a
/// descriptor.
struct CarrierMutex::Waiter {
    Waiter() {
        turn.fd = sys::calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (turn.fd == -1) throw_system_error("create a wake-up descriptor");
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { detail::close(turn); }

    Channel turn{};
    Waiter* next = nullptr;
    bool has_lock = false;  // guarded
};

void CarrierMutex::lock() {
    if (try_lock()) return;
    Waiter self;
    {
        const std::lock_guard guard{guard_};
        if (state_.exchange(State::contended) == State::free) return;
        (last_ != nullptr ? last_->next : first_) = &self;
        last_ = &self;
    }
    const int result = wait(self.turn, Direction::read, never);
    const int error = errno;
    const std::lock_guard guard{guard_};
    if (self.has_lock) return;  // even if the wait was cancelled at the same moment
    remove(self);
    errno = result == -1 ? error : EBADF;  // the descriptor is readable only with the lock
    throw_io_error(self.turn, "wait for another writer");
}

/// Gives the lock to the waiter that has waited the longest.
void CarrierMutex::hand_over() noexcept {
    const std::lock_guard guard{guard_};
    Waiter* const next = first_;
    if (next == nullptr) {
        state_ = State::free;
        return;
    }
    remove(*next);
    if (first_ == nullptr) state_ = State::locked;
    next->has_lock = true;
    constexpr std::uint64_t one = 1;  // an empty counter takes it
    [[maybe_unused]] const auto written = ::write(next->turn.fd, &one, sizeof one);
}

void CarrierMutex::remove(Waiter& waiter) noexcept {
    Waiter* before = nullptr;
    for (Waiter* each = first_; each != &waiter; each = each->next) before = each;
    (before != nullptr ? before->next : first_) = waiter.next;
    if (last_ == &waiter) last_ = before;
}

}  // namespace socketserver::detail
