// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "policy/fibers/fiber.hpp"
#include "socketserver/detail/os/waker.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"

namespace socketserver::detail {

/// A first-in-first-out queue of requests. The link is a member of the requests, so it needs no
/// memory.
class RequestQueue {
  public:
    RequestQueue() = default;
    RequestQueue(RequestQueue&& other) noexcept
        : first_{std::exchange(other.first_, nullptr)},
          last_{std::exchange(other.last_, nullptr)} {}
    RequestQueue& operator=(RequestQueue&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
        return *this;
    }
    ~RequestQueue() {
        while (!empty()) pop();
    }

    bool empty() const noexcept { return first_ == nullptr; }
    void push(std::unique_ptr<RequestJob> request) noexcept {
        RequestJob* added = request.release();
        added->next = nullptr;
        (last_ != nullptr ? last_->next : first_) = added;
        last_ = added;
    }
    std::unique_ptr<RequestJob> pop() noexcept {
        std::unique_ptr<RequestJob> first{first_};
        first_ = first->next;
        if (first_ == nullptr) last_ = nullptr;
        return first;
    }

  private:
    RequestJob* first_ = nullptr;
    RequestJob* last_ = nullptr;
};

/// The messages of other threads to a scheduler.
struct Mail {
    RequestQueue requests;
    FiberQueue<&Fiber::next_unparked> unparked;  // a fiber is in it at most once, because it waits
                                                 // until its scheduler has read the mail
    bool cancel = false;
    bool finish = false;
};

/// Carries mail from any thread to the one thread that reads it, and wakes that thread if it sleeps
/// in the kernel. If the reader does not sleep, it finds the mail without a system call of the
/// sender.
///
/// Thread safety: send() may be called from any thread, the other members from the thread that
/// reads.
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
    std::mutex mutex_;
    Mail mail_;
    std::atomic<bool> has_mail_{false};
    std::atomic<bool> sleeps_{false};
    Waker waker_;
};

}  // namespace socketserver::detail
