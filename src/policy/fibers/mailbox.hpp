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

/// Requests, first in, first out, by a link in them: that needs no memory.
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

/// What other threads ask of a scheduler.
struct Mail {
    RequestQueue requests;
    FiberQueue<&Fiber::next_unparked> unparked;  // each once: it waits until it has been told
    bool cancel = false;
    bool finish = false;
};

/// Takes mail from any thread to the one thread that reads it, and wakes that thread if it sleeps
/// in the kernel. A reader that does not sleep finds the mail on its own: no system call is made.
///
/// Thread safety: send() from any thread, the rest from the reader's.
class Mailbox {
  public:
    template <class Change>
    void send(Change change) {
        const std::lock_guard lock{mutex_};
        change(mail_);
        has_mail_ = true;
        // Under the lock: the reader may end as soon as it has read its mail.
        if (sleeps_.exchange(false)) waker_.wake();
    }

    /// Readable when mail came to a reader that sleeps. Each wake-up is an edge.
    int fileno() const noexcept { return waker_.fileno(); }
    /// Called before sleeping. False: there is mail, and nobody will wake the reader for it.
    bool may_sleep() noexcept {
        // Either the reader sees the mail, or its sender sees that the reader sleeps.
        sleeps_ = true;
        return !has_mail_;
    }
    void is_awake() noexcept { sleeps_.store(false, std::memory_order_relaxed); }

    bool has_mail() const noexcept { return has_mail_.load(std::memory_order_relaxed); }
    /// Exchanges what has come for `empty`.
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
