// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/datagram.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// Where each kind of request carries its record.
inline ConnectionHandle& record_of(Socket& request) { return request.channel().connection; }
inline ConnectionHandle& record_of(Datagram& request) { return request.connection_; }

/// The policy has found a place for the request. Null is passed over.
SOCKETSERVER_EXPORT void note_served(const ConnectionHandle& connection) noexcept;

/// Remembers why a request failed.
SOCKETSERVER_EXPORT void note_failure(Socket& request, const std::exception_ptr& error) noexcept;
SOCKETSERVER_EXPORT void note_failure(Datagram& request, const std::exception_ptr& error) noexcept;

/// The error of a reply that the client of this datagram did not take, because it has gone or does
/// not read; 0 if there was none.
SOCKETSERVER_EXPORT int undelivered(const Datagram& request) noexcept;

/// Makes the close of a connection a reset: the client sees at once that it was refused, and the
/// kernel keeps nothing of it.
SOCKETSERVER_EXPORT void reset_on_close(Socket& request) noexcept;
inline void reset_on_close(Datagram&) noexcept {}

/// Before a request is given to a thread that may outlive the server. False: there is no record to
/// lead back to the server, which must wait for the thread then.
SOCKETSERVER_EXPORT bool let_outlive_server(const ConnectionHandle& connection) noexcept;

/// For a request that a child process will serve. Before the fork: a place where the child leaves
/// the reason of the end. Null is passed over.
SOCKETSERVER_EXPORT void share_outcome(Connection* connection) noexcept;
/// In the child: the request has ended. Frees nothing: each page that is written to is copied.
SOCKETSERVER_EXPORT void leave_outcome(Connection* connection) noexcept;
/// The child that serves it is being killed, or the server is gone. Null is passed over.
SOCKETSERVER_EXPORT void note_cancelled(Connection* connection) noexcept;

}  // namespace socketserver::detail
