// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"

namespace socketserver::detail {

/// Records which request a worker runs at the moment, and since when. The thread that detects
/// blocking handlers reads it. begin() and end() are called only if that is enabled.
///
/// Thread safety: overdue() may be called from any thread, the other members from the worker's.
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

    /// Finds out whether a request has been running for `limit` or longer. Returns for how long,
    /// and sets the client's address. Each blocking run is reported once.
    ///
    /// @throws std::bad_alloc if there is no memory for the address: the run is then reported the
    /// next time.
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
