// SPDX-License-Identifier: MIT
// The part of ServerBase that lets requests in: limits, and what becomes of a failed accept.
#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "request/connection.hpp"
#include "request/request_table.hpp"
#include "server/accept_error.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace {

using detail::AcceptAction;
using detail::Clock;
using detail::ConnectionHandle;
using detail::Place;
using detail::RequestTable;
using detail::Turn;

constexpr std::chrono::milliseconds shortest_accept_pause{1};
constexpr std::chrono::milliseconds longest_accept_pause{100};

}  // namespace

detail::TimePoint detail::ServerState::accept_at() const noexcept {
    const Lifecycle::View now = life.load(std::memory_order_relaxed);
    if (now.queue_is_served && !has_received()) return never;
    if (pause.load(std::memory_order_relaxed).count() > 0) {
        const TimePoint again = accept_again.load(std::memory_order_relaxed);
        if (again > Clock::now()) return again;
    }
    if (now.has_cancelled) return {};
    if (paused.load(std::memory_order_relaxed) && !now.is_draining()) return never;
    Limits& limits = table->limits;
    const LiveSettings& settings = limits.settings();
    if (limits.taken() < settings.most_connections() && !settings.limits_rate()) return {};
    return limits.accept_at();
}

bool ServerBase::take_place(Place& place) noexcept {
    RequestTable& table = *state_->table;
    if (state_->life.load(std::memory_order_relaxed).has_cancelled) {
        place.refused = RefuseCause::stopping;
        return true;
    }
    // A server that refuses clients takes its place after accepting. A worker that took one before,
    // and then found that another worker had accepted the client, would have made a third worker
    // refuse a client although there was room.
    if (!table.limits.waits()) return true;
    place.table = &table;
    table.limits.take(place);
    return !place.refused;
}

void ServerBase::open_connection(ConnectionHandle& record, Place& place,
                                 const Address& client_address, int descriptor) {
    if (state_->pause.load(std::memory_order_relaxed).count() > 0) {
        state_->pause = std::chrono::milliseconds{0};
    }
    RequestTable& table = *state_->table;
    if (!place.refused && !table.limits.waits()) {
        place.table = &table;
        table.limits.take(place);
    }
    place.has_turn = false;
    try {
        record = table.open(client_address, descriptor, place);
    } catch (...) {
        // A connection for which there is no memory is counted as well.
        ++table.counters->accepted;
        ++table.counters->of(CloseReason::error);
        throw;
    }
    if (place.refused || !(table.limits.settings().limits_addresses() || !table.proxies.is_off()))
        return;
    try {
        table.settle(*record);
    } catch (...) {
        record->reason = CloseReason::error;
        throw;
    }
    place.refused = record->place.refused;
}

void ServerBase::count_refused(const ConnectionHandle& record, RefuseCause cause) noexcept {
    if (record) state_->table->refuse(*record, cause);
}

void ServerBase::announce_opened(const ConnectionHandle& record) {
    if (!record) return;
    record->is_announced = true;
    connection_opened(record->client_address);
}

void ServerBase::announce_closed(ConnectionHandle record) noexcept {
    if (!record || state_->table->in_child() || !record->is_announced) return;
    if (record->outcome != -1) state_->table->learn_from_child(*record);
    const CloseReason reason = record->reason = state_->table->reason_of(*record);
    record->has_final_reason = true;
    const auto duration = Clock::now() - record->opened;
    // A text is moved, because its copy could fail for lack of memory. The numbers of an address
    // stay in the record, which needs them for the limit of each address.
    const AddressFamily family = record->client_address.family();
    const bool is_number = family == AddressFamily::inet || family == AddressFamily::inet6;
    const Address client_address =
        is_number ? record->client_address : state_->table->take_address(*record);
    record.reset();  // before the hook, so that it finds the request counted out
    try {
        connection_closed(client_address, reason, duration);
    } catch (...) {
        report_server_error(std::current_exception());
    }
}

void ServerBase::connection_opened(const Address&) {}
void ServerBase::connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) {}

detail::Turn ServerBase::accept_failed(std::exception_ptr error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::system_error& failure) {
        const AcceptAction action = failure.code().category() == std::system_category()
                                        ? detail::classify_accept_error(failure.code().value())
                                        : AcceptAction::report;
        if (action == AcceptAction::nothing_there) return Turn::nothing;
        if (action == AcceptAction::fatal) {
            // A Unix socket that no longer listens returns this error at the end of its queue.
            if (state_->table->is_draining()) return Turn::nothing;
            throw;
        }
        ++state_->table->counters->accept_errors;
        try {
            handle_accept_error(failure);
        } catch (...) {
            report_server_error(std::current_exception());
        }
        if (action != AcceptAction::retry) return pause_accepting();
    } catch (const std::bad_alloc&) {
        // There was no memory to receive the request, or for a request that was accepted and is
        // lost. Without a pause the loop would spin.
        ++state_->table->counters->accept_errors;
        report_server_error(error);
        return pause_accepting();
    } catch (...) {
        report_server_error(error);
    }
    return Turn::took;
}

detail::Turn ServerBase::pause_accepting() noexcept {
    state_->table->lingering.end();  // these connections hold descriptors, and memory of the kernel
    const auto pause =
        std::clamp(state_->pause.load() * 2, shortest_accept_pause, longest_accept_pause);
    state_->accept_again = Clock::now() + pause;
    state_->pause = pause;
    return Turn::later;
}

void ServerBase::pause() noexcept { state_->paused = true; }

void ServerBase::resume() noexcept {
    state_->paused = false;
    wake_loop();
}

LiveOptions ServerBase::live_options() const noexcept {
    return state_->table->limits.settings().get();
}

void ServerBase::set_live_options(const LiveOptions& options) noexcept {
    state_->table->limits.settings().set(options);
    wake_loop();  // because it may wait for room
}

std::vector<ConnectionInfo> ServerBase::connections() const { return state_->table->connections(); }

Statistics ServerBase::statistics() const {
    Statistics statistics;
    state_->table->read(statistics);
    policy_->mixin_statistics(statistics);
    return statistics;
}

}  // namespace socketserver
