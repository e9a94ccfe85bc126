// SPDX-License-Identifier: MIT
// The part of ServerBase that lets requests in: limits, and what becomes of a failed accept.
#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "request/connection.hpp"
#include "request/registry.hpp"
#include "server/accept_error.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace {

using detail::AcceptAction;
using detail::Clock;
using detail::Connection;
using detail::ConnectionHandle;
using detail::Limits;
using detail::Permit;
using detail::Registry;
using detail::SharedCounters;
using detail::Turn;

constexpr std::chrono::milliseconds shortest_pause{1};
constexpr std::chrono::milliseconds longest_pause{100};

void take(Limits& limits, Permit& permit) noexcept {
    permit.has_room = limits.take_room();
    if (!permit.has_room) {
        permit.refused = RefuseCause::max_connections;
    } else if (permit.has_turn = limits.take_turn(); !permit.has_turn) {
        permit.refused = RefuseCause::max_accept_rate;
    }
}

/// A connection for which there is no memory is counted as well: accepted, and ended by an error.
ConnectionHandle open_record(Registry& registry, const Address& client_address, int descriptor,
                             bool has_room) {
    try {
        return registry.open(client_address, descriptor, has_room);
    } catch (...) {
        SharedCounters::add(registry.counters->accepted);
        SharedCounters::add(registry.counters->of(CloseReason::error));
        throw;
    }
}

}  // namespace

std::optional<Permit> ServerBase::ask_permit() noexcept {
    Limits& limits = state_->registry->limits;
    Permit permit;
    if (state_->life.load(std::memory_order_relaxed).has_cancelled) {
        permit.refused = RefuseCause::stopping;
        return permit;
    }
    // A server that refuses clients takes its place after accepting. A worker that took one before,
    // and then found that another worker had accepted the client, would have made a third worker
    // refuse a client although there was room.
    if (!limits.waits()) return permit;
    take(limits, permit);
    if (!permit.refused) return permit;
    give_back(permit);
    return {};
}

void ServerBase::give_back(const Permit& permit) noexcept {
    Limits& limits = state_->registry->limits;
    if (permit.has_turn) limits.give_back_turn();
    if (permit.has_room && limits.give_back_room()) wake_loop();
}

ConnectionHandle ServerBase::open_connection(Permit& permit, const Address& client_address,
                                             int descriptor) {
    Registry& registry = *state_->registry;
    if (!permit.refused && !registry.limits.waits()) take(registry.limits, permit);
    ConnectionHandle connection =
        open_record(registry, client_address, descriptor, permit.has_room);
    permit.has_room = permit.has_turn = false;  // the connection has it now
    if (!permit.refused && registry.limits.limits_addresses()) {
        try {
            connection->has_share = registry.limits.take_share(client_address);
        } catch (...) {
            connection->reason = CloseReason::error;
            throw;
        }
        if (!connection->has_share) permit.refused = RefuseCause::max_connections_per_address;
    }
    return connection;
}

void ServerBase::count_refused(Connection* connection, RefuseCause cause) noexcept {
    if (connection != nullptr) state_->registry->refuse(*connection, cause);
}

void ServerBase::announce_opened(Connection* connection) {
    if (connection == nullptr) return;
    connection->is_announced = true;
    connection_opened(connection->client_address);
}

void ServerBase::announce_closed(ConnectionHandle connection) noexcept {
    if (connection == nullptr || state_->registry->in_child() || !connection->is_announced) return;
    const CloseReason reason = state_->registry->reason_of(*connection);
    const auto duration = Clock::now() - connection->opened;
    // The address is moved, because a copy could fail for lack of memory. A move leaves the numbers
    // of the address in the record, which needs them for the limit of each address.
    const Address client_address = std::move(connection->client_address);
    connection.reset();  // before the hook, so that it finds the request counted out
    try {
        connection_closed(client_address, reason, duration);
    } catch (...) {
        report_server_error(std::current_exception());
    }
}

void ServerBase::connection_opened(const Address&) {}
void ServerBase::connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) {}

void ServerBase::accept_succeeded() noexcept {
    if (state_->pause.load(std::memory_order_relaxed).count() > 0) {
        state_->pause = std::chrono::milliseconds{0};
    }
}

detail::Turn ServerBase::accept_failed(std::exception_ptr error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::system_error& failure) {
        const AcceptAction action = failure.code().category() == std::system_category()
                                        ? detail::classify_accept_error(failure.code().value())
                                        : AcceptAction::report;
        if (action == AcceptAction::nothing_there) return Turn::nothing;
        if (action == AcceptAction::fatal) {
            // A Unix socket that no longer listens says this at the end of its queue.
            if (state_->registry->is_draining()) return Turn::nothing;
            throw;
        }
        SharedCounters::add(state_->registry->counters->accept_errors);
        try {
            handle_accept_error(failure);
        } catch (...) {
            report_server_error(std::current_exception());
        }
        if (action != AcceptAction::retry) return pause_accepting();
    } catch (const std::bad_alloc&) {
        // Memory was lacking to receive the request, or for what was accepted and is lost. Without
        // a pause the loop would spin.
        SharedCounters::add(state_->registry->counters->accept_errors);
        report_server_error(error);
        return pause_accepting();
    } catch (...) {
        report_server_error(error);
    }
    return Turn::took;
}

detail::Turn ServerBase::pause_accepting() noexcept {
    state_->registry->lingering.end();  // they hold descriptors, and memory of the kernel
    const auto pause = std::clamp(state_->pause.load() * 2, shortest_pause, longest_pause);
    state_->accept_again = Clock::now() + pause;
    state_->pause = pause;
    return Turn::later;
}

void ServerBase::pause() noexcept { state_->paused = true; }

void ServerBase::resume() noexcept {
    state_->paused = false;
    wake_loop();
}

Statistics ServerBase::statistics() const {
    Statistics statistics;
    state_->registry->read(statistics);
    policy_->mixin_statistics(statistics);
    return statistics;
}

}  // namespace socketserver
