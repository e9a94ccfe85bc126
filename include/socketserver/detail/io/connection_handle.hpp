// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// What a server knows of one request, from accepting it until it has ended
/// (src/request/connection.hpp). The request carries it along, wherever a policy moves it; so it is
/// given back exactly once, whatever a policy or a handler does or forgets: with its last owner the
/// connection has ended, the server counts it, and has room for another one.
class Connection;
using ConnectionHandle = std::shared_ptr<Connection>;

/// The descriptor of the request is no longer this process's to break off: it was given away, or a
/// child has it. Null is passed over.
SOCKETSERVER_EXPORT void disown_descriptor(Connection* connection) noexcept;

}  // namespace socketserver::detail
