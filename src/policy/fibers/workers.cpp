// SPDX-License-Identifier: MIT
#include "policy/fibers/workers.hpp"

#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "socketserver/policy_host.hpp"

namespace socketserver::detail {

namespace {

thread_local FiberStarter* starter_of_this_thread = nullptr;

}  // namespace

FiberStarter* FiberStarter::of_this_thread() noexcept { return starter_of_this_thread; }

FiberStarter* FiberStarter::set_for_this_thread(FiberStarter* starter) noexcept {
    return std::exchange(starter_of_this_thread, starter);
}

Workers::Workers(const PolicyHost& host, FiberSettings settings, bool marks)
    : host_{host}, settings_{std::move(settings)}, marks_{marks} {}

Worker& Workers::add_worker() {
    auto worker = std::make_unique<Worker>(settings_, blocking_, idle_);
    if (settings_.report_blocking.count() > 0) worker->scheduler.slice_watch().enable();
    const std::lock_guard lock{watch_mutex_};
    return *workers_.emplace_back(std::move(worker));
}

Scheduler* Workers::start_worker() {
    Worker* worker = nullptr;
    try {
        worker = &add_worker();
        worker->thread = std::thread{[this, worker] {
            std::optional<ServerMark> mark;
            if (marks_) mark.emplace(&host_.server(), &Current::serving);
            set_for_this_thread(this);
            worker->scheduler.run([worker] { worker->scheduler.start_posted(); });
        }};
        return &worker->scheduler;
    } catch (...) {
        const std::lock_guard lock{watch_mutex_};
        if (worker != nullptr) workers_.pop_back();
        return nullptr;
    }
}

Scheduler& Workers::least_loaded() {
    Scheduler* best = &workers_.front()->scheduler;
    for (auto& worker : workers_) {
        if (worker->scheduler.load() < best->load()) best = &worker->scheduler;
    }
    if (best->load() > 0 && workers_.size() < settings_.workers) {
        if (Scheduler* added = start_worker()) return *added;
    }
    return *best;
}

bool Workers::are_idle() const noexcept {
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const auto& worker) { return worker->scheduler.load() == 0; });
}

void Workers::finish_workers(bool cancel) noexcept {
    for (auto& worker : workers_) {
        if (!worker->thread.joinable()) continue;
        if (cancel) worker->scheduler.post_cancel();
        worker->scheduler.finish();
    }
}

void Workers::join_workers() {
    for (auto& worker : workers_) {
        if (worker->thread.joinable()) worker->thread.join();
    }
}

void Workers::begin_watch() {
    if (settings_.report_blocking.count() > 0)
        watch_ = std::thread{[this] { watch_for_blocking(); }};
}

/// The hook is called without a lock, and may do what a handler may: stop the server, for one,
/// which must not wait for this thread then.
void Workers::watch_for_blocking() {
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

void Workers::end_watch() noexcept {
    if (!watch_.joinable()) return;
    {
        const std::lock_guard lock{watch_mutex_};
        ended_ = true;
    }
    watch_end_.notify_one();
    watch_.join();
}

}  // namespace socketserver::detail
