// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include "os/platform.hpp"

namespace socketserver::detail {

/// A lock for many readers, who must not be disturbed by a fork, and one writer, who forks.
///
/// A child does not unlock it, because unlocking would write to a page, which the kernel would then
/// copy for the child. The lock holds the id of the process that forks; in the child that is the id
/// of another process, so the child sees the lock as free. The first thread of the child that uses
/// it makes it the child's own: what other threads of the parent held is held by nobody here.
template <class Platform = detail::Platform>
class ForkLock {
  public:
    constexpr ForkLock() = default;
    ForkLock(const ForkLock&) = delete;
    ForkLock& operator=(const ForkLock&) = delete;

    /// @name For readers. They do not nest on one thread.
    /// @{
    void forbid_fork() noexcept {
        for (;;) {
            wait_for_fork();
            ++readers_;
            if (!is_forking()) return;
            --readers_;
        }
    }
    void allow_fork() noexcept { --readers_; }
    /// @}

    /// Called before a fork.
    void begin_fork() noexcept {
        const pid_t self = Platform::process();
        for (pid_t other = 0; !forking_.compare_exchange_weak(other, self); other = 0) {
            if (other == self) {  // another thread forks
                Platform::pause();
            } else if (other != 0) {
                leave_parent(other);
            }
        }
        while (readers_ > 0) Platform::pause();
    }
    /// Called after the fork in the parent.
    void end_fork() noexcept {
        if (forking_ != 0) forking_ = 0;
    }
    /// Called before a fork by the only thread of the process, instead of begin_fork(): it needs no
    /// lock. A lock that is held was held by a thread of the parent when this process was forked.
    void fork_alone() noexcept {
        if (forking_ != 0) readers_ = forking_ = 0;
    }

  protected:
    /// As a child has it whose parent was forked while threads of it held the lock.
    constexpr ForkLock(int readers, pid_t forking) : readers_{readers}, forking_{forking} {}

  private:
    bool is_forking() const noexcept { return forking_ != 0 && forking_ == Platform::process(); }

    void wait_for_fork() noexcept {
        for (pid_t other = forking_; other != 0; other = forking_) {
            if (other == Platform::process()) {
                Platform::pause();
            } else {
                leave_parent(other);
            }
        }
    }
    /// In a child: while one thread does it, the others see a fork, and wait. No reader can have
    /// come before, because each of them calls this first.
    void leave_parent(pid_t parent) noexcept {
        if (!forking_.compare_exchange_strong(parent, Platform::process())) return;
        readers_ = 0;
        forking_ = 0;
    }

    typename Platform::template Atomic<int> readers_{0};
    typename Platform::template Atomic<pid_t> forking_{0};
};

}  // namespace socketserver::detail
