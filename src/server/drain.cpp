// SPDX-License-Identifier: MIT
// ServerBase::drain(): the serving thread serves on until nothing is left; the caller of drain()
// watches the clock, and lets the Lifecycle go from phase to phase.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "request/request_table.hpp"
#include "server/server_socket.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/transport.hpp"

namespace socketserver {

namespace {

using Phase = detail::Lifecycle::Phase;
using Event = detail::Lifecycle::Event;
using Action = detail::Lifecycle::Action;
using Actions = detail::Lifecycle::Actions;
using detail::Clock;
using detail::Current;
using detail::deadline_after;
using detail::DrainOrder;
using detail::RequestTable;
using detail::ServerMark;
using detail::TimePoint;

/// To be called before other threads can see that a drain has begun, because a thread that then
/// finds the queue empty takes the queue for served.
DrainOrder turn_newcomers_away(detail::ServerState& state, AcceptQueue queue, Socket* listener,
                               const Transport& transport) {
    DrainOrder order;
    // Turning clients away affects all processes that have the socket.
    order.leaves_queue = queue == AcceptQueue::leave || state.copies.has_others();
    detail::ServerSocket* const several =
        listener == nullptr ? nullptr : detail::ServerSocket::of(*listener);
    for (std::size_t i = 0; several != nullptr && i < several->more.size(); ++i) {
        transport.stop_queueing(*several->more[i]);
    }
    if (order.leaves_queue) {
        // The further sockets of a server that has one for each worker are no other server's.
        state.table->counters->drain.ends_own_queues = true;
        state.unix_path.disown();
        return order;
    }
    if (listener != nullptr) transport.stop_queueing(*listener);
    const std::chrono::milliseconds handshake = transport.handshake_time();
    if (handshake.count() > 0) order.handshakes_until = Clock::now() + handshake;
    return order;
}

std::uint64_t sum(const auto& counters) {
    std::uint64_t total = 0;
    for (const auto& counter : counters) total += counter.load();
    return total;
}

/// The counters that a drain reports, at one moment.
struct Counted {
    explicit Counted(const RequestTable& table)
        : closed{sum(table.counters->closed)},
          idle{table.counters->idle_closed},
          cancelled{table.counters->of(CloseReason::cancelled)},
          refused{sum(table.counters->refused)} {}

    std::uint64_t closed;
    std::uint64_t idle;
    std::uint64_t cancelled;
    std::uint64_t refused;
};

DrainReport report(const Counted& before, const Counted& after, std::uint64_t remaining) {
    DrainReport report;
    report.idle_closed = after.idle - before.idle;
    report.cancelled = after.cancelled - before.cancelled + remaining;
    report.refused = after.refused - before.refused;
    report.finished =
        after.closed - before.closed - (after.cancelled - before.cancelled) - report.idle_closed;
    report.remaining = remaining;
    return report;
}

}  // namespace

bool ServerBase::is_draining() const noexcept { return state_->table->is_draining(); }

bool ServerBase::is_drained() {
    if (!state_->life.load().queue_is_served || state_->has_received() ||
        !state_->table->is_empty() || !policy_->mixin_ended()) {
        return false;
    }
    wake_loop();  // other threads may serve as well
    return true;
}

void ServerBase::end_listening() noexcept {
    if (!state_->queue_is_empty().has(Action::refuse_newcomers)) return;
    if (socket_) transport_.stop_listening(*socket_);
}

void ServerBase::pass_on_drain() {
    const Actions actions = state_->turn();
    if (actions.has(Action::policy_drain)) policy_->mixin_drain();
    if (actions.has(Action::policy_cancel)) policy_->mixin_cancel(false);
    if (actions.has(Action::policy_kill)) policy_->mixin_cancel(true);
}

DrainReport ServerBase::drain(std::chrono::nanoseconds within, AcceptQueue queue) {
    if (ServerMark::stands(this, &Current::request) ||
        ServerMark::stands(this, &Current::serving)) {
        throw std::logic_error("drain() waits for the handlers, and was called in one");
    }
    own_in_this_process();
    std::unique_lock lock{state_->mutex};
    if (state_->lifecycle.view().is_closed) return {};
    return drain(lock, within, queue, false);
}

/// A signal has stopped the server. What server_close() would wait for ends as in a drain that
/// leaves the queue, which is reset when the socket is closed.
void ServerBase::drain_after_signal() noexcept {
    std::unique_lock lock{state_->mutex};
    if (!state_->is_stopped_by_signal() || !policy_->mixin_blocks_on_close()) return;
    const std::chrono::nanoseconds within = state_->close_within;
    if (within == std::chrono::nanoseconds::max()) return;
    if (state_->serving > 0) {
        state_->ask_to_stop();
        state_->ended.wait(lock,
                           [this, before = state_->serves] { return state_->serves != before; });
    }
    const bool has_requests = !state_->table->is_empty() || !policy_->mixin_ended();
    if (!has_requests || state_->lifecycle.phase() != Phase::open) return;
    // From now on a stop is a second signal, which ends at once what is left.
    if (state_->serving == 0) state_->take_stop_back();
    try {
        drain(lock, within, AcceptQueue::leave, true);
    } catch (...) {
        // There is no thread for it.
        if (lock.owns_lock()) lock.unlock();
        report_server_error(std::current_exception());
        state_->table->cancel_all();
        policy_->mixin_cancel(true);
    }
}

/// @param closes whether the queue is left to nobody else.
DrainReport ServerBase::drain(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds within,
                              AcceptQueue queue, bool closes) {
    const RequestTable& table = *state_->table;
    const Counted before{table};
    // The loops that serve now go on until nothing is left. Without any there must be a thread
    // before anything is changed.
    if (state_->serving == 0 && !state_->drain_thread.joinable()) {
        state_->drain_thread = std::thread{[this] { serve_in_drain_thread(); }};
        state_->drain_thread_serves = true;
    }
    DrainOrder order;
    if (closes) {
        order.leaves_queue = true;
    } else {
        order = turn_newcomers_away(*state_, queue, socket_.get(), transport_);
    }
    order.until = deadline_after(within);
    Actions actions = state_->step({Event::Kind::drain_asked, order});
    while (state_->lifecycle.phase() != Phase::closed) {
        state_->wait_for_event(lock);
        Event event = state_->event_in_drain();
        if (event.kind == Event::Kind::serving_ended && !policy_->mixin_ended()) {
            event.requests_remain = true;  // in other processes
        }
        actions |= state_->step(event);
    }
    if (actions.has(Action::let_go)) let_go();
    const bool ended = !state_->is_served();
    std::thread drain_thread = state_->take_drain_thread();
    lock.unlock();

    const std::uint64_t remaining = table.size();
    if (actions.has(Action::policy_kill)) policy_->mixin_cancel(true);
    if (drain_thread.joinable()) drain_thread.join();
    if (ended) policy_->mixin_close(remaining == 0);
    return report(before, Counted{table}, remaining);
}

void ServerBase::serve_in_drain_thread() noexcept {
    try {
        serve_forever();
    } catch (...) {
        bool was_closed = false;
        {
            // By server_close(), or another drain, before this thread began.
            const std::lock_guard lock{state_->mutex};
            was_closed = state_->lifecycle.view().is_closed;
        }
        if (!was_closed) report_server_error(std::current_exception());
    }
    const std::lock_guard lock{state_->mutex};
    state_->drain_thread_serves = false;
    state_->ended.notify_all();
}

}  // namespace socketserver
