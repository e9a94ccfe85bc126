// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver {
class Address;
class Socket;
}  // namespace socketserver

namespace socketserver::detail {

/// The result of waiting for the header of the PROXY protocol.
enum class Introduction : unsigned char {
    done,     ///< the client is known, or no header was expected
    refused,  ///< the client is known, and has too many connections
    ended,    ///< a drain, or the end of the server, came first
};

/// Reads the header if the connection has to begin with one, and no byte after it. The client's
/// address becomes the announced one. Called where the request is served; waits by its carrier,
/// within the time that the options set. If the request may outlive the server, the server may be
/// destroyed meanwhile.
///
/// @throws ProxyHeaderError if no header comes; Cancelled; std::system_error.
SOCKETSERVER_EXPORT Introduction read_proxy_header(Socket& request, Address& client_address);

}  // namespace socketserver::detail
