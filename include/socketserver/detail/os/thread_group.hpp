// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

/// Work that a thread runs once.
class SOCKETSERVER_EXPORT Job {
  public:
    /// @param is_daemon whether the job may outlive its ThreadGroup, which does not wait for it.
    explicit Job(bool is_daemon = false) noexcept;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    virtual ~Job();
    /// Does not throw.
    virtual void run() = 0;
    bool is_daemon() const noexcept { return is_daemon_; }

  private:
    const bool is_daemon_;
};

/// Threads, each of which runs one job at a time. A thread whose job has ended takes the next job
/// from the queue. If there is none it waits for one, and ends after ten seconds. A thread that has
/// ended leaves nothing behind.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT ThreadGroup {
  public:
    ThreadGroup();
    ThreadGroup(const ThreadGroup&) = delete;
    ThreadGroup& operator=(const ThreadGroup&) = delete;
    /// Calls close() and join().
    ~ThreadGroup();

    /// Runs a job at once, in a waiting thread or a new one. A daemon's job is not waited for.
    ///
    /// @throws std::system_error if a thread is needed and cannot be created; `job` is untouched.
    void run(std::unique_ptr<Job>& job);

    /// The size of a group that is used as a pool.
    struct Bounds {
        std::size_t threads;
        std::size_t queue;  ///< jobs that wait for a thread
    };
    /// Is called when there is room. It is no std::function, because that would allocate each time
    /// that somebody asks.
    struct RoomListener {
        std::shared_ptr<void> whom;
        void (*tell)(const std::shared_ptr<void>& whom) = nullptr;
    };
    /// Whether there is a thread for a job, or room in the queue. If not, the thread that makes
    /// room calls the listener, once. A listener that has not been called yet is replaced.
    bool has_room(Bounds bounds, RoomListener listener) noexcept;
    bool has_room(Bounds bounds) const noexcept;
    /// Runs a job in one of at most so many threads, or puts it into the queue until one is free,
    /// whether the queue has room or not. If a thread cannot be created while there are others, the
    /// job waits for one of those, or for start_missing().
    ///
    /// @throws std::system_error if the first thread cannot be created, or std::bad_alloc; `job` is
    /// untouched.
    void offer(std::unique_ptr<Job>& job, std::size_t most_threads);
    /// When to call start_missing(): a thread could not be created, and a job waits that it would
    /// serve. `never` if there is none. Without a lock.
    TimePoint missing_at() const noexcept;
    /// Tries again to create the threads that could not be created.
    void start_missing(std::size_t most_threads) noexcept;

    /// Ends the waiting threads; the others end when their job has ended and the queue is empty.
    void close() noexcept;
    /// After close(): waits until all threads have ended, except those that run a daemon's job.
    void join() noexcept;
    bool has_daemons() const noexcept;

    /// Without a lock.
    std::size_t threads() const noexcept;
    std::size_t queued() const noexcept;

  private:
    struct State;
    std::shared_ptr<State> state_;  // shared with the threads: a daemon's outlives the group
};

}  // namespace socketserver::detail
