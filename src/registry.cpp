// SPDX-License-Identifier: MIT
#include "registry.hpp"

#include <sys/socket.h>

#include "sys.hpp"

namespace socketserver::detail {

namespace {

/// In a child's outcome: it has not written any.
constexpr unsigned char no_outcome = 0xff;

}  // namespace

Registry::Registry(const ServerOptions& options, bool is_stream, const Wakers& wakers)
    : limits{options, is_stream},
      idle_timeout{options.idle_timeout},
      request_timeout{options.request_timeout},
      wakers_{&wakers} {}

void Registry::leave_server() noexcept {
    if (in_child_) return;
    const std::lock_guard lock{mutex_};
    wakers_ = nullptr;
}

void Registry::wake_loop() noexcept {
    const std::lock_guard lock{mutex_};
    if (wakers_ != nullptr) wakers_->loop.wake();
}

ConnectionHandle Registry::open(const Address& client_address, int fd, bool has_room) {
    auto connection = std::make_shared<Connection>();
    connection->client_address = client_address;
    connection->fd = fd;
    connection->has_room = has_room;
    connection->registry = shared_from_this();
    SharedCounters::add(counters->accepted);
    count_.fetch_add(1);
    const std::lock_guard lock{mutex_};
    connection->next = first_;
    if (first_ != nullptr) first_->previous = connection.get();
    first_ = connection.get();
    return connection;
}

void Registry::refuse(Connection& connection, RefuseCause cause) noexcept {
    connection.is_refused = true;
    SharedCounters::add(counters->of(cause));
}

void Registry::disown_descriptor(Connection& connection) noexcept {
    if (in_child_) return;
    const std::lock_guard lock{mutex_};
    connection.fd = -1;
}

void Registry::end(Connection& connection) noexcept {
    SharedCounters::add(counters->bytes_in, connection.bytes_in);
    SharedCounters::add(counters->bytes_out, connection.bytes_out);
    const CloseReason reason = in_child_ ? own_reason(connection) : reason_of(connection);
    if (connection.idle_ended && reason != CloseReason::cancelled) {
        SharedCounters::add(counters->idle_closed);
    }
    if (in_child_) {
        // The request is still the parent's: it counts the end when it has waited for this child.
        if (connection.outcome != -1) {
            outcome_of(connection) = static_cast<unsigned char>(reason);
        }
        return;
    }
    if (!connection.is_refused) SharedCounters::add(counters->of(reason));
    {
        const std::lock_guard lock{mutex_};
        if (connection.next != nullptr) connection.next->previous = connection.previous;
        (connection.previous != nullptr ? connection.previous->next : first_) = connection.next;
        if (connection.outcome != -1) free_outcomes_.push_back(connection.outcome);
    }
    if (connection.has_share) limits.give_back_share(connection.client_address);
    const bool somebody_waits = connection.has_room && limits.give_back_room();
    const bool was_last = count_.fetch_sub(1) == 1;
    if (somebody_waits || (was_last && drains_here())) wake_loop();
}

CloseReason Registry::own_reason(const Connection& connection) noexcept {
    if (connection.reason != CloseReason::finished) return connection.reason;
    if (connection.cancelled.load()) return CloseReason::cancelled;
    return connection.client_ended ? CloseReason::client_closed : CloseReason::finished;
}

CloseReason Registry::reason_of(const Connection& connection) noexcept {
    if (connection.outcome == -1) return own_reason(connection);
    const unsigned char outcome = outcome_of(connection);
    if (outcome != no_outcome) return static_cast<CloseReason>(outcome);
    return connection.cancelled.load() ? CloseReason::cancelled : CloseReason::error;
}

std::atomic<unsigned char>& Registry::outcome_of(const Connection& connection) noexcept {
    return counters->outcomes.at(static_cast<std::size_t>(connection.outcome));
}

void Registry::share_outcome(Connection& connection) noexcept {
    {
        const std::lock_guard lock{mutex_};
        if (!free_outcomes_.empty()) {
            connection.outcome = free_outcomes_.back();
            free_outcomes_.pop_back();
        } else if (used_outcomes_ < static_cast<int>(SharedCounters::most_outcomes)) {
            // Room to give it back without an allocation, which could fail.
            free_outcomes_.reserve(SharedCounters::most_outcomes);
            connection.outcome = used_outcomes_++;
        } else {
            return;  // more children than that: what they tell is lost
        }
    }
    outcome_of(connection) = no_outcome;
}

void Registry::begin_drain() noexcept {
    drains_here_ = true;
    counters->draining = true;
    wakers_->drain.wake();
    end_input(Connection::Phase::idle);
}

void Registry::end_patience() noexcept {
    patience_over_ = true;
    end_input(Connection::Phase::fresh);
}

void Registry::end_input(Connection::Phase phase) noexcept {
    const std::lock_guard lock{mutex_};
    for (Connection* each = first_; each != nullptr; each = each->next) {
        if (each->fd == -1 || each->phase.load() != phase) continue;
        // What has arrived can still be received; then comes the end of the stream.
        sys::calls.shutdown(each->fd, SHUT_RD);
        each->idle_ended = true;
    }
}

void Registry::cancel_all() noexcept {
    const std::lock_guard lock{mutex_};
    for (Connection* each = first_; each != nullptr; each = each->next) {
        each->cancelled = true;
        if (each->fd != -1) sys::calls.shutdown(each->fd, SHUT_RDWR);
    }
}

void Registry::read(Statistics& statistics) const noexcept {
    // In this order: what has ended was accepted before, so the difference is never negative.
    for (std::size_t i = 0; i < close_reasons; ++i) statistics.closed_by[i] = counters->closed[i];
    for (std::size_t i = 0; i < refuse_causes; ++i) statistics.refused_by[i] = counters->refused[i];
    statistics.accepted = counters->accepted;
    statistics.active = statistics.accepted - statistics.closed() - statistics.refused();
    statistics.accept_errors = counters->accept_errors;
    statistics.bytes_in = counters->bytes_in;
    statistics.bytes_out = counters->bytes_out;
}

}  // namespace socketserver::detail
