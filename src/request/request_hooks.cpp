// SPDX-License-Identifier: MIT
#include "io/request_hooks.hpp"

#include <cerrno>
#include <utility>

#include "io/socket_error.hpp"
#include "request/connection.hpp"
#include "request/drain_signal.hpp"
#include "request/request_table.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/byte_filter.hpp"

namespace socketserver::detail {

namespace {

using Phase = Connection::Phase;
using Timeout = std::optional<std::chrono::nanoseconds>;

/// To be called only if LiveSettings::has_timeouts() is true. Without timeouts nothing is written,
/// because another thread may use the channel in the other direction.
void set_deadline(Channel& channel, const Timeout& timeout) {
    channel.deadline.store(timeout ? deadline_after(*timeout) : never);
}

void begin_request(Channel& channel, Connection& connection) {
    connection.phase.store(Phase::busy, std::memory_order_release);
    connection.answered.store(false, std::memory_order_relaxed);
    const LiveSettings& settings = connection.table->limits.settings();
    if (settings.has_timeouts()) set_deadline(channel, settings.request_timeout());
}

/// Throws if the time of a request that has begun is over.
void require_time(Channel& channel, std::string_view operation) {
    if (Clock::now() < channel.deadline.load()) return;
    errno = ETIMEDOUT;
    throw_io_error(channel, operation);
}

}  // namespace

Input before_receive(Channel& channel, bool partial) {
    Connection* connection = channel.connection.get();
    if (connection == nullptr) return Input::wait;
    RequestTable& table = *connection->table;
    Phase phase = connection->phase.load(std::memory_order_relaxed);
    if (phase == Phase::busy) {
        if (!connection->answered.load(std::memory_order_relaxed)) {
            if (channel.deadline.load() != never) require_time(channel, "recv");
            return Input::wait;
        }
        if (partial) {
            begin_request(channel, *connection);
            return Input::wait;
        }
    }
    if (phase == Phase::busy || !connection->is_waited_for) {
        const LiveSettings& settings = table.limits.settings();
        if (settings.has_timeouts()) set_deadline(channel, settings.idle_timeout());
        connection->is_waited_for = true;
    }
    if (phase == Phase::busy) {
        // This comes before the check for a drain, so that at least one of the two threads sees
        // what the other one does.
        phase = Phase::idle;
        connection->phase.store(phase);
        connection->done_in_drain = table.is_draining();
    }
    // In a child the signal handler takes the part of the other thread.
    if (table.is_signalled() && current().io == nullptr) DrainSignal::receiving(connection);
    return table.is_input_over(phase) ? Input::look : Input::wait;
}

bool is_idle(const Channel& channel) noexcept {
    return channel.connection.get() != nullptr &&
           channel.connection->phase.load(std::memory_order_relaxed) != Phase::busy;
}

void ended_by_drain(Channel& channel) noexcept {
    if (!channel.connection->done_in_drain) channel.connection->idle_ended = true;
}

std::ptrdiff_t after_receive(Channel& channel, std::ptrdiff_t result) {
    Connection* connection = channel.connection.get();
    if (connection == nullptr) return result;
    if (connection->table->is_signalled()) DrainSignal::receiving(nullptr);
    if (result > 0) {
        connection->bytes_in.store(connection->bytes_in.load() +
                                   static_cast<std::uint64_t>(result));
        if (connection->phase.load(std::memory_order_relaxed) != Phase::busy) {
            begin_request(channel, *connection);
        }
        connection->answered.store(false, std::memory_order_relaxed);
        return result;
    }
    const int error = errno;
    if (connection->cancelled.load()) {  // it was broken off, and not ended by the client
        errno = ECANCELED;
        return -1;
    }
    // A drain has ended the input of the socket, which TLS takes for an unannounced end.
    if (result == -1 && error == ByteFilter::cut_off &&
        connection->table->is_input_over(connection->phase.load(std::memory_order_relaxed))) {
        result = 0;
    }
    if (result == 0) connection->client_ended = !connection->idle_ended;
    return result;
}

void after_wait(const Channel& channel) noexcept {
    if (channel.connection && channel.connection->table->is_signalled()) {
        DrainSignal::receiving(nullptr);
    }
}

void before_send(Channel& channel, std::string_view operation) {
    Connection* connection = channel.connection.get();
    if (connection == nullptr) return;
    if (connection->phase.load(std::memory_order_relaxed) != Phase::busy) {
        begin_request(channel, *connection);
    } else if (channel.deadline.load() != never) {
        require_time(channel, operation);
    }
}

std::ptrdiff_t after_send(Channel& channel, std::ptrdiff_t result) {
    Connection* connection = channel.connection.get();
    if (connection == nullptr) return result;
    if (result >= 0) {
        connection->bytes_out.store(connection->bytes_out.load() +
                                    static_cast<std::uint64_t>(result));
        connection->answered.store(true, std::memory_order_relaxed);
        return result;
    }
    if (connection->cancelled.load()) errno = ECANCELED;
    return result;
}

Channel give_away(Channel& channel) noexcept {
    Channel given = std::exchange(channel, {});
    given.datagrams = nullptr;  // they belong to the server
    Connection* const connection = given.connection.get();
    if (connection == nullptr || !connection->is_handled) return given;
    disown_descriptor(connection);
    connection->is_announced = false;  // so that connection_closed() is not called for it
    given.deadline.store(never);
    channel.connection = std::move(given.connection);
    return given;
}

}  // namespace socketserver::detail
