// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Something to be run once, in a thread.
class SOCKETSERVER_EXPORT Job {
  public:
    Job() = default;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    virtual ~Job();
    /// Does not throw.
    virtual void run() = 0;
};

/// Threads that run one job at a time each. A thread whose job has ended waits for another one and
/// goes after a while without. Nothing is kept of a thread that has gone.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT ThreadGroup {
  public:
    ThreadGroup();
    ThreadGroup(const ThreadGroup&) = delete;
    ThreadGroup& operator=(const ThreadGroup&) = delete;
    /// As close() and join().
    ~ThreadGroup();

    /// Runs a job at once, in a waiting thread or a new one. A daemon's job is not waited for.
    ///
    /// @throws std::system_error if a thread is needed and cannot be created; `job` is untouched.
    void run(std::unique_ptr<Job>& job, bool daemon);

    /// Sends the waiting threads away; the others go when their job has ended.
    void close() noexcept;
    /// After close(): waits until all threads have gone, but for those with a daemon's job.
    void join() noexcept;
    bool has_daemons() const noexcept;
    /// How many there are, the waiting ones included.
    std::size_t size() const noexcept;

  private:
    struct State;
    std::shared_ptr<State> state_;  // shared with the threads: a daemon's outlives the group
};

}  // namespace socketserver::detail
