// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "policy/fibers/blocking_pool.hpp"
#include "policy/fibers/scheduler.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"

namespace socketserver {
class PolicyHost;
}

namespace socketserver::detail {

/// Where the requests go that the serve loop of a thread hands over.
class FiberStarter {
  public:
    FiberStarter() = default;
    FiberStarter(const FiberStarter&) = delete;
    FiberStarter& operator=(const FiberStarter&) = delete;
    virtual ~FiberStarter() = default;

    /// Serves the request in a fiber, or fails it. Does not throw.
    virtual void start(std::unique_ptr<RequestJob> request) = 0;

    /// Null: the thread runs no loop, and no fibers.
    static FiberStarter* of_this_thread() noexcept;
    /// Makes it the one of the calling thread, and returns the former one.
    static FiberStarter* set_for_this_thread(FiberStarter* starter) noexcept;
};

/// One worker, in a thread of its own or in the serving thread.
struct Worker {
    Worker(const FiberSettings& settings, BlockingPool& blocking, IdleSignal& idle)
        : scheduler{settings.stack_size, blocking, idle, settings.fibers} {}
    Scheduler scheduler;
    std::thread thread;
};

/// Workers among which requests are spread, and the thread that looks for handlers which block one.
///
/// Thread safety: members are called by one thread at a time, the one that hands requests over.
class Workers : public FiberStarter {
  public:
    /// @param marks whether to a worker's thread the server is one that it serves, for which
    ///        shutdown() does not wait there.
    Workers(const PolicyHost& host, FiberSettings settings, bool marks);
    ~Workers() override { end_watch(); }

  protected:
    using List = std::vector<std::unique_ptr<Worker>>;

    const List& workers() const noexcept { return workers_; }
    IdleSignal& idle() noexcept { return idle_; }
    bool are_idle() const noexcept;

    /// Adds one for a thread that the caller has.
    Worker& add_worker();
    /// Null: there is no thread, descriptor or memory for it now.
    Scheduler* start_worker();
    /// The first one, if it is no busier than the others. A new worker only when all that there are
    /// have something to do; if none can be had, it is asked for again with the next request, which
    /// the others serve until then.
    Scheduler& least_loaded();
    /// Of those that have a thread: no further request will come.
    void finish_workers(bool cancel) noexcept;
    void join_workers();
    /// If handlers that block their worker are to be reported.
    void begin_watch();
    void end_watch() noexcept;

  private:
    void watch_for_blocking();

    const PolicyHost& host_;
    const FiberSettings settings_;
    const bool marks_;
    BlockingPool blocking_;
    IdleSignal idle_;
    List workers_;

    std::thread watch_;
    std::mutex watch_mutex_;
    std::condition_variable watch_end_;
    bool ended_ = false;
};

}  // namespace socketserver::detail
