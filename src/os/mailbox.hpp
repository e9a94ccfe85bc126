// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <mutex>
#include <utility>

#include "os/platform.hpp"

namespace socketserver::detail {

/// Carries mail from any thread to the one thread that reads it, and wakes that thread if it sleeps
/// in the kernel. If the reader does not sleep, it finds the mail without a system call of the
/// sender.
///
/// Thread safety: send() may be called from any thread, the other members from the thread that
/// reads.
template <class Mail, class Platform = detail::Platform>
class Mailbox {
  public:
    template <class Change>
    void send(Change change) {
        const std::lock_guard lock{mutex_};
        change(mail_);
        has_mail_ = true;
        // This is done under the lock, because the reader may end as soon as it has read its mail.
        if (sleeps_.exchange(false)) waker_.wake();
    }

    /// A descriptor that is readable when mail came to a sleeping reader. Each wake-up is an edge.
    int fileno() const noexcept { return waker_.fileno(); }
    /// To be called before sleeping. Returns false if there is mail for which nobody will wake the
    /// reader.
    bool may_sleep() noexcept {
        // Either the reader sees the mail, or its sender sees that the reader sleeps.
        sleeps_ = true;
        return !has_mail_;
    }
    void is_awake() noexcept { sleeps_.store(false, std::memory_order_relaxed); }

    bool has_mail() const noexcept { return has_mail_.load(std::memory_order_relaxed); }
    /// Exchanges the mail that has come with `empty`.
    void take(Mail& empty) {
        const std::lock_guard lock{mutex_};
        std::swap(mail_, empty);
        has_mail_.store(false, std::memory_order_relaxed);
    }

  private:
    typename Platform::Mutex mutex_;
    Mail mail_{};
    typename Platform::template Atomic<bool> has_mail_{false};
    typename Platform::template Atomic<bool> sleeps_{false};
    typename Platform::Waker waker_;
};

}  // namespace socketserver::detail
