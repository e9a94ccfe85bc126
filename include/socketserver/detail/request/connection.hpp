// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"

namespace socketserver::detail {

/// Remembers why a request failed. Null is passed over.
SOCKETSERVER_EXPORT void note_failure(Connection* connection, const std::exception_ptr& error,
                                      bool peer_gone) noexcept;

/// Of a datagram: the error of a reply that its client did not take, because it has gone or does
/// not read; 0 if there was none, and for null.
SOCKETSERVER_EXPORT int undelivered(const Connection* connection) noexcept;

/// For a request that a child process will serve. Before the fork: a place where the child leaves
/// the reason of the end. Null is passed over.
SOCKETSERVER_EXPORT void share_outcome(Connection* connection) noexcept;
/// In the child: the request has ended. Frees nothing: each page that is written to is copied.
SOCKETSERVER_EXPORT void leave_outcome(Connection* connection) noexcept;
/// In the parent: the child is being killed.
SOCKETSERVER_EXPORT void note_cancelled(Connection* connection) noexcept;

}  // namespace socketserver::detail
