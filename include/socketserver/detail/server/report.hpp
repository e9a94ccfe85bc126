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

/// The default of handle_error(): prints the exception as Python does. If the client of this
/// connection went away, or if the server is stopping, that is no failure of the server, and
/// nothing is printed.
SOCKETSERVER_EXPORT void report_request_error(const Socket& request, const Address& client_address,
                                              std::exception_ptr error);
SOCKETSERVER_EXPORT void report_request_error(const Datagram& request,
                                              const Address& client_address,
                                              std::exception_ptr error);

}  // namespace socketserver::detail
