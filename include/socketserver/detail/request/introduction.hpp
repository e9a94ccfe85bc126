// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver {
class Address;
class Socket;
}  // namespace socketserver

namespace socketserver::detail {

/// What came of waiting for the header of the PROXY protocol.
enum class Introduction : unsigned char {
    done,     ///< the client is known; or no header was to be expected
    refused,  ///< the client is known, and has too many connections
    ended,    ///< a drain, or the end of the server, came first
};

/// Reads the header if the connection has to begin with one, and not one byte more. The client's
/// address becomes the announced one. Where the request is served; waits as its carrier does,
/// within the time that the options give. The server may go meanwhile, if the request may outlive
/// it.
///
/// @throws ProxyHeaderError if none comes; Cancelled; std::system_error.
SOCKETSERVER_EXPORT Introduction read_proxy_header(Socket& request, Address& client_address);

}  // namespace socketserver::detail
