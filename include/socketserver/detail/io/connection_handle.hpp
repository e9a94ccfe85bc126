// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// What a server knows of one request, from accepting it until it has ended
/// (src/request/connection.hpp).
class Connection;

/// Gives back the reference of a ConnectionHandle. With the last one the request has ended.
struct SOCKETSERVER_EXPORT ConnectionRelease {
    void operator()(Connection* connection) const noexcept;
};

/// A counted reference to the record of a request. The request carries it along, wherever a policy
/// moves it. When the last handle goes, the request has ended: the server counts it and has room
/// for another one. So a policy or a handler cannot forget to end a request, nor end it twice.
///
/// Thread safety: an object is for one thread at a time; those of one record may be used, and go,
/// in several.
using ConnectionHandle = std::unique_ptr<Connection, ConnectionRelease>;

/// One more handle to the same record; null for null.
SOCKETSERVER_EXPORT ConnectionHandle share(const ConnectionHandle& connection) noexcept;

/// Called when the descriptor was given away, or when a child has it: this process can no longer
/// break the connection off. Does nothing if `connection` is null.
SOCKETSERVER_EXPORT void disown_descriptor(Connection* connection) noexcept;

}  // namespace socketserver::detail
