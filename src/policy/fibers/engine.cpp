// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "os/no_sigpipe.hpp"
#include "policy/fibers/blocking_pool.hpp"
#include "policy/fibers/scheduler.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"
#include "socketserver/policy_host.hpp"

namespace socketserver::detail {

namespace {

/// One worker. The first one runs in the serving thread, the others have their own.
struct Worker {
    Worker(const FiberSettings& settings, BlockingPool& blocking, IdleSignal& idle)
        : scheduler{settings.stack_size, blocking, idle, settings.fibers} {}
    Scheduler scheduler;
    std::thread thread;
};

/// One stay of a server in serve_forever() or handle_request().
class Serve {
  public:
    Serve(const PolicyHost& host, const FiberSettings& settings);
    Serve(const Serve&) = delete;
    Serve& operator=(const Serve&) = delete;
    ~Serve() {
        end_watch();
        current_serve = outer_;
    }

    void run(const std::function<void()>& loop);
    void start(std::unique_ptr<RequestJob> request);

    static Serve* of_this_thread() noexcept { return current_serve; }

  private:
    static thread_local Serve* current_serve;

    Worker& add_worker();
    Scheduler& least_loaded();
    Scheduler* start_worker();
    void drain();
    void end_workers();
    void watch_for_blocking();
    void end_watch() noexcept;

    const PolicyHost& host_;
    const FiberSettings& settings_;
    Serve* outer_;
    BlockingPool blocking_;
    IdleSignal idle_;
    std::vector<std::unique_ptr<Worker>> workers_;

    std::thread watch_;
    std::mutex watch_mutex_;
    std::condition_variable watch_end_;
    bool ended_ = false;
};

thread_local Serve* Serve::current_serve = nullptr;

Serve::Serve(const PolicyHost& host, const FiberSettings& settings)
    : host_{host}, settings_{settings}, outer_{std::exchange(current_serve, this)} {
    try {
        add_worker();
    } catch (...) {
        current_serve = outer_;
        throw;
    }
}

Worker& Serve::add_worker() {
    auto worker = std::make_unique<Worker>(settings_, blocking_, idle_);
    if (settings_.report_blocking.count() > 0) worker->scheduler.slice_watch().enable();
    const std::lock_guard lock{watch_mutex_};
    return *workers_.emplace_back(std::move(worker));
}

void Serve::run(const std::function<void()>& loop) {
    if (settings_.report_blocking.count() > 0)
        watch_ = std::thread{[this] { watch_for_blocking(); }};
    std::exception_ptr error;
    workers_.front()->scheduler.run([&] {
        try {
            loop();
            drain();
        } catch (...) {
            error = std::current_exception();
        }
        end_workers();
    });
    for (auto& worker : workers_) {
        if (worker->thread.joinable()) worker->thread.join();
    }
    end_watch();
    if (error) std::rethrow_exception(error);
}

/// Lets what has begun go on until it has ended, or the server is stopped.
void Serve::drain() {
    idle_.wanted = true;
    const auto is_idle = [](const auto& worker) { return worker->scheduler.load() == 0; };
    while (!std::all_of(workers_.begin(), workers_.end(), is_idle)) {
        if (!host_.wait_unless_stopped(idle_.waker.fileno())) return;
        idle_.waker.reset();
    }
}

void Serve::end_workers() {
    workers_.front()->scheduler.cancel();
    for (auto& worker : workers_) {
        if (!worker->thread.joinable()) continue;
        worker->scheduler.post_cancel();
        worker->scheduler.finish();
    }
}

void Serve::start(std::unique_ptr<RequestJob> request) {
    Scheduler& here = *Scheduler::here();
    // Only the serving thread hands over: what a handler starts stays where it is.
    const bool serving = &here == &workers_.front()->scheduler;
    Scheduler& chosen = serving ? least_loaded() : here;
    if (&chosen == &here) {
        chosen.add_load();
        chosen.start(request);
    } else {
        chosen.post(std::move(request));
    }
}

/// The serving thread, if it is no busier than the others: that saves the hand-over. A new worker
/// only when all that there are have something to do.
Scheduler& Serve::least_loaded() {
    Scheduler* best = &workers_.front()->scheduler;
    for (auto& worker : workers_) {
        if (worker->scheduler.load() < best->load()) best = &worker->scheduler;
    }
    if (best->load() > 0 && workers_.size() < settings_.workers) {
        if (Scheduler* added = start_worker()) return *added;
    }
    return *best;
}

/// Null: there is no thread, descriptor or memory for it now. It is asked for again with the next
/// request, which the others serve until then.
Scheduler* Serve::start_worker() {
    Worker* worker = nullptr;
    try {
        worker = &add_worker();
        worker->thread = std::thread{[this, worker] {
            const ServerMark mark{&host_.server(), &Current::serving};
            current_serve = this;
            worker->scheduler.run([worker] { worker->scheduler.start_posted(); });
        }};
        return &worker->scheduler;
    } catch (...) {
        const std::lock_guard lock{watch_mutex_};
        if (worker != nullptr) workers_.pop_back();
        return nullptr;
    }
}

/// The hook is called without a lock, and may do what a handler may: stop the server, for one,
/// which must not wait for this thread then.
void Serve::watch_for_blocking() {
    const ServerMark mark{&host_.server(), &Current::serving};
    std::unique_lock lock{watch_mutex_};
    while (!watch_end_.wait_for(lock, settings_.report_blocking / 2, [this] { return ended_; })) {
        // NOLINTNEXTLINE(modernize-loop-convert): workers may be added while the hook is called
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            SliceWatch& slice = workers_[i]->scheduler.slice_watch();
            Address client_address;
            std::optional<std::chrono::nanoseconds> time;
            try {
                time = slice.overdue(settings_.report_blocking, client_address);
            } catch (const std::bad_alloc&) {
            }
            if (!time) continue;
            lock.unlock();
            settings_.handle_blocking(client_address, *time);
            lock.lock();
        }
    }
}

void Serve::end_watch() noexcept {
    if (!watch_.joinable()) return;
    {
        const std::lock_guard lock{watch_mutex_};
        ended_ = true;
    }
    watch_end_.notify_one();
    watch_.join();
}

}  // namespace

void serve_with_fibers(const PolicyHost& host, const FiberSettings& settings,
                       const std::function<void()>& loop) {
    if (Scheduler::here() == nullptr) return Serve{host, settings}.run(loop);
    // A server inside of a handler: its loop has a thread of its own.
    run_blocking([&] { Serve{host, settings}.run(loop); });
}

void start_fiber(std::unique_ptr<RequestJob> request) {
    if (Serve* serve = Serve::of_this_thread()) {
        serve->start(std::move(request));
    } else {
        request->run();
    }
}

void print_blocking(const Address& client_address, std::chrono::nanoseconds time) noexcept {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    const NoSigpipe no_sigpipe;
    std::string client = "a client";  // so short that it needs no memory
    try {
        client = client_address.to_string();
    } catch (const std::bad_alloc&) {
        // The rest is said nevertheless.
    }
    std::fprintf(stderr,
                 "socketserver: the handler of %s has blocked its worker for %lld ms "
                 "(see run_blocking)\n",
                 client.c_str(), static_cast<long long>(milliseconds));
}

unsigned default_workers() noexcept {
    cpu_set_t cores;
    if (::sched_getaffinity(0, sizeof cores, &cores) == 0) {
        return static_cast<unsigned>(CPU_COUNT(&cores));
    }
    return std::max(std::thread::hardware_concurrency(), 1U);
}

}  // namespace socketserver::detail
