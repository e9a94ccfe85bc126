// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"

namespace socketserver::detail {

/// Which request a worker runs at the moment, and since when: for the thread that looks whether one
/// of them blocks its worker. begin() and end() are called only if it is enabled.
class SliceWatch {
  public:
    void enable() noexcept { enabled_ = true; }
    bool is_enabled() const noexcept { return enabled_; }

    void begin(const RequestJob* request) {
        if (request == nullptr) return;
        const std::lock_guard lock{mutex_};
        running_ = request;
        since_ = Clock::now();
    }
    void end() {
        const std::lock_guard lock{mutex_};
        running_ = nullptr;
    }

    /// From any thread: whose request has been running for `limit`, and for how long. Each time
    /// that it blocks is told once.
    ///
    /// @throws std::bad_alloc if there is no memory for the address: it is told the next time.
    std::optional<std::chrono::nanoseconds> overdue(std::chrono::nanoseconds limit,
                                                    Address& client_address) {
        const std::lock_guard lock{mutex_};
        if (running_ == nullptr || Clock::now() - since_ < limit) return {};
        client_address = running_->client_address();
        running_ = nullptr;
        return Clock::now() - since_;
    }

  private:
    bool enabled_ = false;
    std::mutex mutex_;
    const RequestJob* running_ = nullptr;
    TimePoint since_;
};

}  // namespace socketserver::detail
