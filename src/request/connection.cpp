// SPDX-License-Identifier: MIT
#include "request/connection.hpp"

#include <exception>
#include <system_error>

#include "request/registry.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

/// The innermost of nested exceptions; of a FinishError what handle() threw.
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

}  // namespace

Connection::~Connection() {
    if (registry != nullptr) registry->end(*this);
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
        // One with another server, in which the handler is the client, is the handler's own.
        if (connection->cancelled.load()) {
            connection->reason = CloseReason::cancelled;
        } else {
            connection->reason =
                failure.server_side() ? CloseReason::handshake : CloseReason::error;
        }
    } catch (const LineTooLong&) {
        connection->reason = CloseReason::limit;
    } catch (const std::system_error&) {
        connection->reason = peer_gone ? CloseReason::reset : CloseReason::error;
    } catch (...) {
        connection->reason = CloseReason::error;
    }
}

int undelivered(const Connection* connection) noexcept {
    return connection != nullptr ? connection->undelivered : 0;
}

void share_outcome(Connection* connection) noexcept {
    if (connection != nullptr) connection->registry->share_outcome(*connection);
}

void leave_outcome(Connection* connection) noexcept {
    if (connection != nullptr) connection->registry->end(*connection);
}

void disown_descriptor(Connection* connection) noexcept {
    if (connection != nullptr) connection->registry->disown_descriptor(*connection);
}

void note_cancelled(Connection* connection) noexcept {
    if (connection != nullptr) connection->cancelled = true;
}

}  // namespace socketserver::detail
