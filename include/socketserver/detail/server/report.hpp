// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/detail/export.hpp"

namespace socketserver {
class Address;
class Datagram;
class Socket;
}  // namespace socketserver

namespace socketserver::detail {

/// What the default handle_error() does: prints the exception as Python does. Not a failure of the
/// server, and not printed: the client of this connection went away, or the server is stopping.
SOCKETSERVER_EXPORT void report_request_error(const Socket& request, const Address& client_address,
                                              std::exception_ptr error);
SOCKETSERVER_EXPORT void report_request_error(const Datagram& request,
                                              const Address& client_address,
                                              std::exception_ptr error);

}  // namespace socketserver::detail
