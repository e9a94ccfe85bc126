// SPDX-License-Identifier: MIT
#include "request/connection.hpp"

#include <sys/socket.h>

#include <exception>
#include <memory>
#include <system_error>
#include <utility>

#include "os/sys.hpp"
#include "request/request_table.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

/// Returns the innermost of nested exceptions; for a FinishError, the exception of handle().
std::exception_ptr cause_of(std::exception_ptr error) noexcept {
    for (;;) {
        try {
            std::rethrow_exception(error);
        } catch (const std::nested_exception& outer) {
            if (!outer.nested_ptr()) return error;
            error = outer.nested_ptr();
        } catch (...) {
            return error;
        }
    }
}

void note_failure(Connection* connection, const std::exception_ptr& error,
                  bool peer_gone) noexcept {
    if (connection == nullptr) return;
    try {
        std::rethrow_exception(cause_of(error));
    } catch (const Cancelled&) {
        connection->reason = CloseReason::cancelled;
    } catch (const TimeoutError&) {
        connection->reason = CloseReason::timed_out;
    } catch (const HandshakeError& failure) {
        // A failed handshake with another server, of which the handler is a client, is the
        // handler's own failure.
        if (connection->cancelled.load()) {
            connection->reason = CloseReason::cancelled;
        } else {
            connection->reason =
                failure.server_side() ? CloseReason::handshake : CloseReason::error;
        }
    } catch (const ProxyHeaderError&) {
        connection->reason = CloseReason::proxy_header;
    } catch (const LineTooLong&) {
        connection->reason = CloseReason::limit;
    } catch (const std::system_error&) {
        connection->reason = peer_gone ? CloseReason::reset : CloseReason::error;
    } catch (...) {
        connection->reason = CloseReason::error;
    }
}

}  // namespace

Connection::Connection(std::shared_ptr<RequestTable> server, Address&& client, int descriptor,
                       const Place& taken) noexcept
    : table{std::move(server)}, client_address{std::move(client)}, place{taken}, fd{descriptor} {}

Connection::~Connection() = default;

ConnectionHandle share(const ConnectionHandle& connection) noexcept {
    if (connection) connection->handles.fetch_add(1, std::memory_order_relaxed);
    return ConnectionHandle{connection.get()};
}

void ConnectionRelease::operator()(Connection* connection) const noexcept {
    if (connection->handles.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::shared_ptr<RequestTable> table = std::move(connection->table);
    table->end(*connection);
    std::destroy_at(connection);
    table->record_memory.give_back(connection);
}

void note_served(const ConnectionHandle& connection) noexcept {
    if (!connection) return;
    connection->table->counters->waited.add(Clock::now() - connection->opened);
}

void note_failure(Socket& request, const std::exception_ptr& error) noexcept {
    note_failure(record_of(request).get(), error, request.peer_gone());
}

void note_failure(Datagram& request, const std::exception_ptr& error) noexcept {
    note_failure(record_of(request).get(), error, undelivered(request) != 0);
}

int undelivered(const Datagram& request) noexcept {
    return request.connection_ ? request.connection_->undelivered : 0;
}

void reset_on_close(Socket& request) noexcept {
    if (Connection* record = record_of(request).get()) record->is_reset = true;
    // If this fails, the connection is closed in the ordinary way, which refuses the client as
    // well.
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    sys::calls.setsockopt(request.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool let_outlive_server(const ConnectionHandle& connection) noexcept {
    if (connection) connection->may_outlive_server = true;
    return static_cast<bool>(connection);
}

void share_outcome(Connection* connection) noexcept {
    if (connection != nullptr) connection->table->share_outcome(*connection);
}

void leave_outcome(Connection* connection) noexcept {
    if (connection != nullptr) connection->table->end(*connection);
}

void note_cancelled(Connection* connection) noexcept {
    if (connection != nullptr) connection->cancelled = true;
}

}  // namespace socketserver::detail
