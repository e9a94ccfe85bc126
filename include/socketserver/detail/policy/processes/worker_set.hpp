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
/// Parent and worker each hold one end of a pair of sockets, the control. The parent sends one byte
/// for each order (`src/server/worker_order.hpp`); if the parent dies, the kernel closes its end. A
/// worker that retires sends one byte and is replaced at once, while it still finishes its
/// requests. Each worker is waited for by its process id.
///
/// Thread safety: size(), pids() and retire() may be called from any thread; the rest belongs to
/// the thread that supervises, or closes the server.
class SOCKETSERVER_EXPORT WorkerSet {
  public:
    /// How many worker processes there are at most, including those that only finish their last
    /// requests.
    static constexpr std::size_t most = 1024;

    WorkerSet();
    WorkerSet(const WorkerSet&) = delete;
    WorkerSet& operator=(const WorkerSet&) = delete;
    /// Does not wait. A worker that has not ended is left to init.
    ~WorkerSet();

    /// Sets the number of workers. supervise() forks them.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void start(std::size_t count);

    /// The workers that have been waited for, and the errors of workers and of forks.
    struct Ended {
        std::vector<int> pids;
        std::vector<std::exception_ptr> errors;  ///< to be reported
    };
    struct Outcome {
        int control = -1;         ///< in a new worker, its end of the control, which it owns
        std::size_t number = 0;   ///< in a new worker: no other one that accepts has it
        std::size_t workers = 1;  ///< in a new worker: all numbers are smaller
        Ended ended;              ///< filled in the parent
    };
    /// Waits for the workers that have ended and replaces those that are missing, unless it is too
    /// early for that: after a worker that died at once, or a fork that failed, there is a pause
    /// that doubles each time.
    ///
    /// @throws std::bad_alloc; nothing has been done then.
    Outcome supervise();
    /// Readable when supervise() has something to do.
    int fileno() const noexcept;

    /// Stops all workers: they accept no more and end, as after shutdown() and server_close().
    void stop() noexcept;
    /// Lets all workers drain and end.
    void drain() noexcept;
    /// To be called after stop(): takes the status of the workers that have ended, or waits for all
    /// of them, and calls the function for each, with its error if there is one. Allocates no
    /// memory.
    void collect(bool blocking,
                 const std::function<void(int pid, std::exception_ptr error)>& report) noexcept;
    /// Tells all workers that a drain has begun or has entered its next phase.
    void announce_drain() noexcept;

    /// The number of workers that have not been waited for. Takes no lock.
    std::size_t size() const noexcept;
    /// Whether all workers have been waited for.
    bool empty() const;
    /// Ends all of them at once, by SIGKILL.
    void kill() noexcept;

    /// Lets one worker finish its requests and end; supervise() then replaces it. Returns false if
    /// there is no such worker, or if it is ending already.
    bool retire(int pid) noexcept;
    /// The workers that accept.
    std::vector<int> pids() const;

    /// Called in a worker: tells the parent to replace it.
    static void announce_retirement(int control) noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace socketserver::detail
