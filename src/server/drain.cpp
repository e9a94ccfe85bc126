// SPDX-License-Identifier: MIT
// ServerBase::drain(): the serving thread serves on until nothing is left; the caller of drain()
// watches the clock.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "request/registry.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/transport.hpp"

namespace socketserver {

namespace {

using detail::Clock;
using detail::Current;
using detail::deadline_after;
using detail::never;
using detail::Registry;
using detail::ServerMark;
using detail::TimePoint;

/// How long broken-off requests may take to end: for children first after SIGTERM, then SIGKILL.
constexpr std::chrono::milliseconds grace{500};
std::uint64_t sum(const auto& counters) {
    std::uint64_t total = 0;
    for (const auto& counter : counters) total += counter.load();
    return total;
}

/// The counters that a drain reports, at one moment.
struct Counted {
    explicit Counted(Registry& registry)
        : closed{sum(registry.counters->closed)},
          idle{registry.counters->idle_closed},
          cancelled{registry.counters->of(CloseReason::cancelled)},
          refused{sum(registry.counters->refused)} {}

    std::uint64_t closed;
    std::uint64_t idle;
    std::uint64_t cancelled;
    std::uint64_t refused;
};

}  // namespace

bool ServerBase::is_draining() const noexcept { return state_->registry->is_draining(); }

bool ServerBase::is_drained() {
    if (!state_->queue_is_served || !state_->registry->is_empty() || !policy_->mixin_ended())
        return false;
    wake_loop();  // other threads may serve as well
    return true;
}

void ServerBase::end_listening() noexcept {
    if (state_->queue_is_served.exchange(true)) return;
    // Who comes now is refused at once and may try elsewhere.
    if (socket_) transport_.stop_listening(*socket_);
    wake_loop();
}

void ServerBase::pass_on_drain() {
    const int stage = state_->registry->is_patience_over() ? 2 : 1;
    if (state_->announced_level.exchange(stage) < stage) policy_->mixin_drain();
    const int wanted = state_->cancel_level;
    if (state_->cancelled_level.exchange(wanted) < wanted) policy_->mixin_cancel(wanted > 1);
}

DrainReport ServerBase::drain(std::chrono::nanoseconds within, AcceptQueue queue) {
    if (ServerMark::stands(this, &Current::request) ||
        ServerMark::stands(this, &Current::serving)) {
        throw std::logic_error("drain() waits for the handlers, and was called in one");
    }
    own_in_this_process();
    Registry& registry = *state_->registry;
    const Counted before{registry};

    std::unique_lock lock{state_->mutex};
    if (state_->closed) return {};
    // The loops that serve now go on until nothing is left. Without any there must be a thread
    // before anything is changed.
    if (state_->serving == 0 && !state_->drain_thread.joinable()) {
        state_->drain_thread = std::thread{[this] { serve_in_drain_thread(); }};
        state_->drain_thread_serves = true;
    }
    // What this process would do to the socket is done to all that have it.
    if (state_->copies.has_others()) queue = AcceptQueue::leave;
    if (queue == AcceptQueue::leave) {
        state_->queue_is_served = true;
        registry.counters->queue_is_left = true;
        state_->unix_path.disown();
    } else {
        if (socket_) transport_.stop_queueing(*socket_);
        const std::chrono::milliseconds handshake = transport_.handshake_time();
        if (handshake.count() > 0) registry.counters->handshakes_until = Clock::now() + handshake;
    }
    const TimePoint begin = Clock::now();
    const TimePoint until = deadline_after(within, begin);
    // Of two drains at once the one with less time has its way.
    registry.counters->drain_until =
        registry.drains_here() ? std::min(until, registry.counters->drain_until.load()) : until;
    registry.begin_drain();
    wake_loop();
    const auto ended_until = [&](TimePoint time) {
        const auto has_ended = [this] {
            return state_->serving == 0 && !state_->drain_thread_serves;
        };
        if (time != never) return state_->ended.wait_until(lock, time, has_ended);
        state_->ended.wait(lock, has_ended);
        return true;
    };

    bool ended = ended_until(std::min(until, begin + Registry::patience));
    if (!ended) {
        registry.end_patience();
        wake_loop();
        ended = ended_until(until);
    }
    for (const int level : {1, 2}) {
        if (ended) break;
        state_->too_late = true;
        registry.cancel_all();
        state_->cancel_level = level;
        wake_loop();
        ended = ended_until(Clock::now() + grace);
    }
    if (!ended) {
        state_->stop = true;
        state_->stop_waker.wake();
        ended = ended_until(Clock::now() + grace);
    }
    state_->closed = true;
    if (ended) let_go();
    std::thread drain_thread;
    if (state_->drain_thread.joinable()) {
        // As after server_close(): whoever was about to serve returns at once.
        state_->stop = true;
        state_->stop_waker.wake();
        // One of several drains waits for it.
        if (ended) drain_thread.swap(state_->drain_thread);
    }
    lock.unlock();

    const std::uint64_t remaining = registry.size();
    if (ended && remaining > 0) {
        // Somebody stopped the server meanwhile.
        registry.cancel_all();
        policy_->mixin_cancel(true);
    }
    if (drain_thread.joinable()) drain_thread.join();
    if (ended) policy_->mixin_close(remaining == 0);
    const Counted after{registry};
    DrainReport report;
    report.idle_closed = after.idle - before.idle;
    report.cancelled = after.cancelled - before.cancelled + remaining;
    report.refused = after.refused - before.refused;
    report.finished =
        after.closed - before.closed - (after.cancelled - before.cancelled) - report.idle_closed;
    report.remaining = remaining;
    return report;
}

void ServerBase::serve_in_drain_thread() noexcept {
    try {
        serve_forever();
    } catch (...) {
        bool was_closed = false;
        {
            // By server_close(), or another drain, before this thread began.
            const std::lock_guard lock{state_->mutex};
            was_closed = state_->closed;
        }
        if (!was_closed) report_server_error(std::current_exception());
    }
    const std::lock_guard lock{state_->mutex};
    state_->drain_thread_serves = false;
    state_->ended.notify_all();
}

}  // namespace socketserver
