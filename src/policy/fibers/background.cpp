// SPDX-License-Identifier: MIT
// Fibers that go on when handle_request() has returned.
#include <unistd.h>

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <poll.h>

#include "policy/fibers/workers.hpp"
#include "socketserver/policy_host.hpp"

namespace socketserver::detail {

namespace {

/// Workers that all have threads of their own. Members are called under the lock of the State,
/// those that say otherwise excepted.
class BackgroundWorkers final : public Workers {
  public:
    /// @throws std::system_error if not even one can be had.
    BackgroundWorkers(const PolicyHost& host, const FiberSettings& settings)
        : Workers{host, settings, false} {
        if (start_worker() == nullptr) {
            throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                    "start a thread for fibers");
        }
        try {
            begin_watch();
        } catch (...) {
            finish_workers(true);
            join_workers();
            throw;
        }
    }

    void post(std::unique_ptr<RequestJob> request) { least_loaded().post(std::move(request)); }
    void end(bool cancel) noexcept { finish_workers(cancel); }
    using Workers::are_idle;
    /// After end(), without the lock: waits until the last request has ended.
    void join() {
        join_workers();
        end_watch();
    }
    /// In a worker: what a handler hands over stays where it is.
    void start(std::unique_ptr<RequestJob> request) override {
        Scheduler& here = *Scheduler::here();
        here.add_load();
        here.start(request);
    }

    std::unique_ptr<BackgroundWorkers> next;  ///< of those that are ending
};

/// As long as a thread is in handle_request().
class Handing {
  public:
    explicit Handing(FiberStarter& starter) : outer_{FiberStarter::set_for_this_thread(&starter)} {}
    Handing(const Handing&) = delete;
    Handing& operator=(const Handing&) = delete;
    ~Handing() { FiberStarter::set_for_this_thread(outer_); }

  private:
    FiberStarter* const outer_;
};

}  // namespace

class BackgroundFibers::State final : public FiberStarter {
  public:
    /// In a forked child `parents` is that of the parent. The child has none of its threads, and
    /// neither uses nor destroys it.
    State(const PolicyHost& host, State* parents) : of_parent{parents}, host_{host} {}

    State* const of_parent;

    bool is_copy() const noexcept { return ::getpid() != owner_; }

    void run(const FiberSettings& settings, const std::function<void()>& loop) {
        if (!is_stopped()) {
            // Before a request is accepted: for lack of threads none is lost.
            const std::lock_guard lock{mutex_};
            if (workers_ == nullptr) settings_.emplace(settings);
            make_workers();
        }
        const Handing handing{*this};
        loop();
        if (is_stopped()) end(true);
    }

    void start(std::unique_ptr<RequestJob> request) override {
        const std::lock_guard lock{mutex_};
        try {
            make_workers();
        } catch (...) {
            return request->fail(std::current_exception());
        }
        workers_->post(std::move(request));
    }

    void end(bool cancel) noexcept {
        const std::lock_guard lock{mutex_};
        if (cancel) {
            for (auto* ending = ending_.get(); ending != nullptr; ending = ending->next.get()) {
                ending->end(true);
            }
        }
        if (workers_ == nullptr) return;
        workers_->end(cancel);
        workers_->next = std::move(ending_);
        ending_ = std::move(workers_);
    }

    void join() {
        std::unique_lock lock{mutex_};
        std::unique_ptr<BackgroundWorkers> ending = std::move(ending_);
        lock.unlock();
        for (; ending != nullptr; ending = std::move(ending->next)) ending->join();
    }

  private:
    bool is_stopped() const noexcept {
        pollfd stop{host_.stop_fileno(), POLLIN, 0};
        return ::poll(&stop, 1, 0) == 1;
    }

    void make_workers() {
        if (workers_ != nullptr) return;
        while (ending_ != nullptr && ending_->are_idle()) {
            ending_->join();
            ending_ = std::move(ending_->next);
        }
        workers_ = std::make_unique<BackgroundWorkers>(host_, *settings_);
    }

    const PolicyHost& host_;
    const pid_t owner_ = ::getpid();
    std::mutex mutex_;
    std::optional<FiberSettings> settings_;
    std::unique_ptr<BackgroundWorkers> workers_;  // which get the next request
    std::unique_ptr<BackgroundWorkers> ending_;   // which finish what they have
};

BackgroundFibers::BackgroundFibers() noexcept = default;

BackgroundFibers::~BackgroundFibers() {
    State* const state = state_;
    if (state != nullptr && !state->is_copy()) delete state;
}

BackgroundFibers::State& BackgroundFibers::state(const PolicyHost& host) {
    State* found = state_;
    while (found == nullptr || found->is_copy()) {
        auto made = std::make_unique<State>(host, found);
        if (state_.compare_exchange_strong(found, made.get())) return *made.release();
    }
    return *found;
}

void BackgroundFibers::run(const PolicyHost& host, const FiberSettings& settings,
                           const std::function<void()>& loop) {
    State& here = state(host);
    // In a handler the loop has a thread of its own.
    run_blocking([&] { here.run(settings, loop); });
}

void BackgroundFibers::cancel() noexcept {
    State* const state = state_;
    if (state != nullptr && !state->is_copy()) state->end(true);
}

void BackgroundFibers::close(bool cancel, bool wait) {
    State* const state = state_;
    if (state == nullptr || state->is_copy()) return;
    state->end(cancel);
    if (wait) run_blocking([&] { state->join(); });
}

}  // namespace socketserver::detail
