// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// What a server knows of one request, from accepting it until it has ended
/// (src/request/connection.hpp). The request carries this handle along, wherever a policy moves it.
/// When the last handle goes, the request has ended: the server counts it and has room for another
/// one. So a policy or a handler cannot forget to end a request, nor end it twice.
class Connection;
using ConnectionHandle = std::shared_ptr<Connection>;

/// The descriptor of the request is no longer this process's to break off: it was given away, or a
/// child has it. Null is passed over.
SOCKETSERVER_EXPORT void disown_descriptor(Connection* connection) noexcept;

}  // namespace socketserver::detail
