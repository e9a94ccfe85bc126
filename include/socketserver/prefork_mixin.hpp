// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/detail/policy/processes/child_reaper.hpp"
#include "socketserver/detail/policy/processes/worker_set.hpp"
#include "socketserver/detail/server/policy_base.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/statistics.hpp"
#include "socketserver/synchronous_mixin.hpp"

namespace socketserver {

/// Serves in worker processes that are forked before clients come, each by the policy `Inner`:
///
///     TCPServer<Handler, PreforkOf<ThreadingMixIn>::MixIn> server{{"localhost", 9999}};
///
/// The workers of PreforkMixIn serve one request after the other.
///
/// serve_forever() forks `workers` processes, which accept for themselves on the socket that they
/// inherit, and supervises them. A worker that dies, of a crash in a handler for example, takes its
/// own connections with it and nothing else. handle_server_error() is called, and another worker is
/// forked: at once, or, if the worker lived for less than a second, after a pause that doubles from
/// 10 ms to 10 s. The same pauses follow a fork that fails.
///
/// What a handler changes in its worker stays there: workers share nothing with each other, nor
/// with the parent. service_actions() runs in the parent and in each worker.
///
/// Stopping: shutdown(), in the parent or in a worker, ends serve_forever() in the parent and lets
/// the workers finish the requests that they serve. It does not wait for the workers;
/// server_close() does. Workers also end in this way when the parent dies, whatever the cause. A
/// worker ignores the signals of ShutdownOnSignal, which are meant for the parent, so that Ctrl-C
/// in a terminal, which reaches all processes, breaks no request off. server_close() in a worker
/// does nothing. drain() drains every worker. A worker that serves by SynchronousMixIn cannot break
/// its handler off, and is killed half a second after the time is over. In a worker the library
/// uses SIGURG, which is ignored by default: drain() sends it.
///
/// handle_request() forks nothing: it serves one request in the calling thread of the parent. While
/// another thread is in serve_forever(), handle_request() gets no request, and a second
/// serve_forever() only waits.
///
/// A program may have threads when it serves. In a worker the library takes no lock that one of
/// those threads may have held at the fork, except locks that the worker has made anew. Workers
/// keep none of the sockets of the program's other servers. What ForkingMixIn says about handlers
/// holds here as well.
///
/// All workers wait for the same socket in poll(2), so a connection wakes all that are idle and
/// one gets it. That costs little with as many workers as there are cores. EPOLLEXCLUSIVE would
/// wake fewer, but has no effect on poll(2). A UDPServer may have a socket for each worker instead
/// (ServerOptions::socket_per_worker).
///
/// Thread safety: set the public members before the server serves; worker_pids() and
/// retire_worker() may be called from any thread of the parent.
///
/// Beyond Python, whose module forks for each request.
template <template <class> class Inner>
struct PreforkOf {
    /// The policy itself, as a server takes it.
    template <class Server>
    class MixIn;
};

template <template <class> class Inner>
template <class Server>
class PreforkOf<Inner>::MixIn : public detail::PolicyBase<Inner<Server>> {
    using Base = detail::PolicyBase<Inner<Server>>;

  public:
    /// How many processes serve. 0 counts as 1. There are never more than 1024 processes, including
    /// those that only finish their last requests.
    std::size_t workers = (std::max)(1U, std::thread::hardware_concurrency());
    /// After how many requests a worker is replaced by a new one. The old worker finishes the
    /// requests that it still serves. 0 means never.
    std::size_t max_requests = 0;
    /// Whether server_close() and the destructor wait for the workers. If the inner policy has a
    /// member of this name too, that one (`Inner::block_on_close`) decides whether a worker that
    /// ends waits for its requests.
    bool block_on_close = true;

    /// The process ids of the workers that accept. Workers that only finish their last requests are
    /// left out.
    std::vector<int> worker_pids() const { return worker_set_.pids(); }
    /// Lets a worker finish the requests that it serves and end, and replaces it at once. Returns
    /// false if no worker that accepts has this process id.
    bool retire_worker(int pid) {
        if (!worker_set_.retire(pid)) return false;
        server().wake_loop();
        return true;
    }

  protected:
    MixIn() = default;

    /// Serves a request by the inner policy, in the worker that accepted it.
    void dispatch(auto&& request, Address client_address) {
        if (!is_worker_) {
            server().serve_request(request, client_address);
            return;
        }
        Base::dispatch(std::forward<decltype(request)>(request), std::move(client_address));
        if (++dispatched_ != max_requests) return;
        detail::WorkerSet::announce_retirement(control_);
        this->policy_host().end_worker_loop();
    }

    /// @cond  documented where Policy declares them

    // In a worker each hook is that of the inner policy. In the parent it is the supervisor's,
    // whose loop accepts nothing and only waits for its workers.
    void mixin_serve(const std::function<void()>& loop, bool is_forever) override {
        std::thread::id nobody;
        if (is_worker_) {
            Base::mixin_serve(loop, is_forever);
        } else if (is_forever &&
                   supervisor_.compare_exchange_strong(nobody, std::this_thread::get_id())) {
            const Supervision until_the_end{*this};
            const std::size_t count = std::clamp<std::size_t>(workers, 1, detail::WorkerSet::most);
            this->policy_host().prepare_workers(count);
            worker_set_.start(count);
            loop_ = &loop;
            loop();
        } else {
            loop();
        }
    }

    void mixin_service() override {
        if (is_worker_) {
            Base::mixin_service();
        } else if (is_supervisor()) {
            if (server().is_draining()) worker_set_.drain();
            const auto outcome = worker_set_.supervise();
            if (outcome.control != -1) run_worker(outcome);
            report(outcome.ended);
        }
    }

    std::chrono::steady_clock::time_point mixin_service_at() override {
        return is_worker_ ? Base::mixin_service_at() : detail::never;
    }

    bool mixin_ready() override {
        if (is_worker_) return Base::mixin_ready();
        // When the workers of a server that is drained have ended, the parent serves what is left
        // in the queue.
        return supervisor_.load() == std::thread::id{} || has_drained_workers();
    }

    Admission mixin_takes() override { return is_worker_ ? Base::mixin_takes() : Admission::take; }

    int mixin_fileno() override {
        if (is_worker_) return Base::mixin_fileno();
        return is_supervisor() ? worker_set_.fileno() : -1;
    }

    void mixin_drain() override {
        if (is_worker_) {
            Base::mixin_drain();
        } else {
            worker_set_.announce_drain();
        }
    }

    // Workers break off by themselves the requests that are late in a drain. They cannot end a
    // handler that computes, nor one that runs in the serving thread of the worker; these workers
    // are killed.
    void mixin_cancel(bool kill) override {
        if (is_worker_) {
            Base::mixin_cancel(kill);
        } else if (kill) {
            worker_set_.kill();
        }
    }

    void mixin_statistics(Statistics& statistics) const override {
        statistics.children += worker_set_.size();
        Base::mixin_statistics(statistics);
    }

    bool mixin_ended() override { return is_worker_ ? Base::mixin_ended() : worker_set_.empty(); }

    // Not in the loop of serve_forever(). A handler that handle_request() runs here is not ended.
    bool mixin_serves_in_loop() const override { return false; }
    bool mixin_blocks_on_close() const override { return block_on_close; }

    void mixin_close(bool wait) override {
        worker_set_.stop();
        worker_set_.collect(wait && block_on_close, [this](int pid, std::exception_ptr error) {
            this->policy_host().worker_has_ended(pid);
            if (error) this->policy_host().report_server_error(error);
        });
    }
    /// @endcond

  private:
    /// Stops the workers when the supervising thread leaves its loop, also by an exception.
    struct Supervision {
        explicit Supervision(MixIn& of) : mixin{of} {}
        Supervision(const Supervision&) = delete;
        Supervision& operator=(const Supervision&) = delete;
        ~Supervision() {
            mixin.worker_set_.stop();
            mixin.supervisor_ = std::thread::id{};
        }
        MixIn& mixin;
    };

    Server& server() { return static_cast<Server&>(*this); }
    bool is_supervisor() const { return supervisor_.load() == std::this_thread::get_id(); }
    bool has_drained_workers() { return server().is_draining() && worker_set_.empty(); }

    [[noreturn]] void run_worker(const detail::WorkerSet::Outcome& forked) {
        is_worker_ = true;
        control_ = forked.control;
        int status = 0;
        try {
            this->policy_host().enter_worker(control_, {forked.number, forked.workers});
            Base::mixin_enter_worker();
            Base::mixin_serve(*loop_, true);
            this->policy_host().leave_worker();
            Base::mixin_close(true);
        } catch (...) {
            this->policy_host().report_server_error(std::current_exception());
            status = 1;
        }
        detail::exit_child(status);
    }

    void report(const detail::WorkerSet::Ended& ended) {
        for (const int pid : ended.pids) this->policy_host().worker_has_ended(pid);
        for (const std::exception_ptr& error : ended.errors)
            this->policy_host().report_server_error(error);
    }

    detail::WorkerSet worker_set_;
    std::atomic<std::thread::id> supervisor_{};
    const std::function<void()>* loop_ = nullptr;
    // These are set in a worker. The parent does not change them.
    bool is_worker_ = false;
    int control_ = -1;
    std::size_t dispatched_ = 0;
};

/// Worker processes that serve one request after the other; see PreforkOf.
template <class Server>
using PreforkMixIn = PreforkOf<SynchronousMixIn>::MixIn<Server>;

}  // namespace socketserver
