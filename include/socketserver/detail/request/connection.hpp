// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/datagram.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The handle to the record of a request, in each kind of request.
inline ConnectionHandle& record_of(Socket& request) { return request.channel_.connection; }
inline ConnectionHandle& record_of(Datagram& request) { return request.connection_; }

/// Notes that the policy begins to serve the request. Does nothing if the handle is null.
SOCKETSERVER_EXPORT void note_served(const ConnectionHandle& connection) noexcept;

/// Remembers why a request failed.
SOCKETSERVER_EXPORT void note_failure(Socket& request, const std::exception_ptr& error) noexcept;
SOCKETSERVER_EXPORT void note_failure(Datagram& request, const std::exception_ptr& error) noexcept;

/// The errno of a reply that could not be delivered because the client of this datagram has gone or
/// does not read; 0 if there was none.
SOCKETSERVER_EXPORT int undelivered(const Datagram& request) noexcept;

/// Makes the close of a connection a reset. The client then sees at once that it was refused, and
/// the kernel keeps no state of the connection.
SOCKETSERVER_EXPORT void reset_on_close(Socket& request) noexcept;
inline void reset_on_close(Datagram&) noexcept {}

/// To be called before a request is given to a thread that may outlive the server. Returns false if
/// the request has no record, which is the way back to the server. The server must then wait for
/// the thread.
SOCKETSERVER_EXPORT bool let_outlive_server(const ConnectionHandle& connection) noexcept;

/// To be called before the fork, for a request that a child process will serve: reserves shared
/// memory in which the child leaves the reason of the request's end. Does nothing if `connection`
/// is null.
SOCKETSERVER_EXPORT void share_outcome(Connection* connection) noexcept;
/// Called in the child when the request has ended. It frees nothing, because the kernel would copy
/// each page that it writes to.
SOCKETSERVER_EXPORT void leave_outcome(Connection* connection) noexcept;
/// Notes that the child that serves the request is being killed, or that the server is gone. Does
/// nothing if `connection` is null.
SOCKETSERVER_EXPORT void note_cancelled(Connection* connection) noexcept;

}  // namespace socketserver::detail
