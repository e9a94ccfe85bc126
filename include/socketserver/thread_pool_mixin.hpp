// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/thread_group.hpp"
#include "socketserver/detail/server/request_job.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {

/// What a ThreadPoolMixIn does with a client when all threads are busy and the queue is full.
enum class WhenFull : unsigned char {
    stop_accepting,  ///< clients wait in the kernel's queue until there is room (back-pressure)
    close,           ///< the new client is accepted and closed; a datagram is dropped
    reset,           ///< the same, but the connection is reset, which the client sees as an error
};

/// Serves requests in a bounded number of threads. A request for which no thread is free waits in
/// a bounded queue, in the order of arrival.
///
/// Threads are created when they are needed and reused. A thread that has had nothing to do for ten
/// seconds ends. If a thread cannot be created, the request waits for one of the existing threads,
/// or for the next attempt 20 ms later. If there is no thread at all, the request is closed and
/// handle_error() is called for it. shutdown() never waits for a thread. server_close() waits until
/// the requests that run and those in the queue have been served.
///
/// A connection holds its thread until it ends, so a few long-lived or silent clients occupy the
/// whole pool. Give the handler a `timeout`, or serve such clients with FiberMixIn.
///
/// Thread safety: set the public members before the server serves. pool_threads() and
/// queued_requests() may be called from any thread.
///
/// Beyond Python, whose module has no pool.
template <class Server>
class ThreadPoolMixIn : public Policy {
  public:
    /// How many requests are served at once. 0 counts as 1.
    std::size_t max_threads = std::max<std::size_t>(8, 4U * std::thread::hardware_concurrency());
    /// How many accepted requests may wait for a thread. With 0 a request is accepted only when
    /// there is a thread for it. Each thread in serve_forever() beyond the first may put one
    /// request more into the queue. In a worker process (PreforkOf) with WhenFull::stop_accepting
    /// it is always 0, so that clients wait in the kernel's queue, which all workers share, and not
    /// for one busy worker.
    std::size_t max_queue = 64;
    /// What happens to clients when the queue is full. refuse_request() is called for those that
    /// are refused, and they are counted as RefuseCause::policy_full.
    WhenFull when_full = WhenFull::stop_accepting;
    /// Whether server_close() and the destructor wait for the requests. If false, they close the
    /// requests in the queue unserved, and requests that run may outlive the server, as
    /// ThreadingMixIn::daemon_threads describes. The value is read when a request begins.
    bool block_on_close = true;
    /// True is the same as `block_on_close = false`. Mirrors `ThreadingMixIn.daemon_threads`.
    bool daemon_threads = false;

    /// How many threads there are at the moment.
    std::size_t pool_threads() const noexcept { return threads_.threads(); }
    /// How many requests wait for a thread at the moment.
    std::size_t queued_requests() const noexcept { return threads_.queued(); }

  protected:
    /// Queues a request for the threads; called by process_request().
    void dispatch(auto&& request, Address client_address) {
        const bool daemon = (daemon_threads || !block_on_close) &&
                            detail::let_outlive_server(detail::record_of(request));
        detail::hand_over<detail::Job>(
            static_cast<Server&>(*this), request, client_address, daemon,
            [&](std::unique_ptr<detail::Job>& job) { threads_.offer(job, bounds().threads); });
    }

    bool mixin_ready() override {
        if (when_full != WhenFull::stop_accepting) return true;
        // The link is passed rather than the server, because the thread that makes room may be a
        // daemon's, and the server may be gone by then. A worker process leaves clients for which
        // it has no thread to other workers.
        const detail::ThreadGroup::Bounds taken{bounds().threads, is_worker_ ? 0 : max_queue};
        return threads_.has_room(taken, {policy_host().link(), wake_server});
    }

    // While a request waits for a thread that could not be created, another attempt is made.
    std::chrono::steady_clock::time_point mixin_service_at() override {
        return threads_.missing_at();
    }
    void mixin_service() override {
        if (threads_.missing_at() <= detail::Clock::now()) {
            threads_.start_missing(bounds().threads);
        }
    }

    Admission mixin_takes() override {
        if (when_full == WhenFull::stop_accepting || threads_.has_room(bounds())) {
            return Admission::take;
        }
        return when_full == WhenFull::reset ? Admission::reset : Admission::close;
    }

    void mixin_enter_worker() override { is_worker_ = true; }

    void mixin_statistics(Statistics& statistics) const override {
        statistics.threads += threads_.threads();
        statistics.queued += threads_.queued();
    }

    bool mixin_serves_in_loop() const override { return false; }
    bool mixin_blocks_on_close() const override { return block_on_close && !daemon_threads; }
    void mixin_close(bool wait) override {
        threads_.close();
        if (!wait) return;
        threads_.join();
        if (threads_.has_daemons()) policy_host().link()->cut();
    }

  private:
    static void wake_server(const std::shared_ptr<void>& of) {
        const auto link = std::static_pointer_cast<detail::ServerLink>(of);
        const detail::ServerPin pin{*link};
        if (pin) pin.server().wake_loop();
    }

    detail::ThreadGroup::Bounds bounds() const noexcept {
        return {std::max<std::size_t>(max_threads, 1), max_queue};
    }

    detail::ThreadGroup threads_;
    bool is_worker_ = false;
};

}  // namespace socketserver
