// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Keeps a number of forked worker processes going.
///
/// Parent and worker hold one end each of a pair of sockets, the control. The parent sends a byte
/// for each order (`src/server/worker_order.hpp`), and the kernel ends its side when it dies; a
/// worker that retires sends one byte and is replaced at once, whatever it still has to finish.
/// Each worker is waited for by its own id.
///
/// Thread safety: size(), pids() and retire() may be called from any thread; the rest belongs to
/// the thread that supervises, or closes the server.
class SOCKETSERVER_EXPORT WorkerSet {
  public:
    /// So many worker processes there are at a time, with those that finish their last requests.
    static constexpr std::size_t most = 1024;

    WorkerSet();
    WorkerSet(const WorkerSet&) = delete;
    WorkerSet& operator=(const WorkerSet&) = delete;
    /// Does not wait. A worker that has not ended is left to init.
    ~WorkerSet();

    /// From now on there shall be `count` workers.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void start(std::size_t count);

    /// Of workers that have been waited for, and of forks that failed.
    struct Ended {
        std::vector<int> pids;
        std::vector<std::exception_ptr> errors;  ///< to be reported
    };
    struct Outcome {
        int control = -1;  ///< in a new worker: its end, which it owns
        Ended ended;       ///< in the parent
    };
    /// Waits for the workers that have ended and replaces those that are missing, unless it is too
    /// early for that: after a worker that died at once, or a fork that failed, there is a pause
    /// that doubles each time.
    ///
    /// @throws std::bad_alloc; nothing has been done then.
    Outcome supervise();
    /// Readable when supervise() has something to do.
    int fileno() const noexcept;

    /// Stops all workers: they accept no more and end, as shutdown() and server_close() have it.
    void stop() noexcept;
    /// Lets all workers drain and end.
    void drain() noexcept;
    /// After stop(): waits for the workers that have ended, or for all, and tells of each, with its
    /// error if there is one. Needs no memory.
    void collect(bool blocking,
                 const std::function<void(int pid, std::exception_ptr error)>& report) noexcept;
    /// Lets all workers know that a drain has come further.
    void announce_drain() noexcept;

    /// The workers that have not been waited for; without a lock.
    std::size_t size() const noexcept;
    /// No worker lives that has not been waited for.
    bool empty() const;
    /// Ends all of them at once, by SIGKILL.
    void kill() noexcept;

    /// Lets one worker finish and end; supervise() then replaces it. False: there is no such
    /// worker, or it is ending already.
    bool retire(int pid) noexcept;
    /// The workers that accept.
    std::vector<int> pids() const;

    /// In a worker: lets the parent replace it.
    static void announce_retirement(int control) noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace socketserver::detail
