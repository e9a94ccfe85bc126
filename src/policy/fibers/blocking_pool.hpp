// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>

#include "socketserver/detail/os/thread_group.hpp"
#include "socketserver/detail/policy/fibers/wait_list.hpp"

namespace socketserver::detail {

/// Threads for calls that would block a worker, and for which fibers wait. At most `most_at_once`
/// calls run at a time; further calls wait.
///
/// Thread safety: run() may be called from any fiber of any worker.
class BlockingPool {
  public:
    /// Suspends the calling fiber until `work` has ended. Throws what `work` throws, or
    /// std::system_error if a thread cannot be had.
    void run(const std::function<void()>& work);

  private:
    static constexpr std::size_t most_at_once = 64;

    void begin();
    void end();

    std::mutex mutex_;
    WaitList waiting_;
    std::size_t running_ = 0;
    ThreadGroup threads_;
};

}  // namespace socketserver::detail
