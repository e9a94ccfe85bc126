// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "os/mailbox.hpp"
#include "policy/fibers/fiber.hpp"
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

using SchedulerMailbox = Mailbox<Mail>;

}  // namespace socketserver::detail
