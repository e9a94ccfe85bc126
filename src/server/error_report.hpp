// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <string_view>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Prints to stderr, in one piece, as Python prints a traceback: 40 dashes, the headline and the
/// address, the type and the text of the exception and of those nested in it, 40 dashes. It does
/// not throw, and its arguments need no memory. An error that cannot be printed is lost, because
/// there is nothing else to do. If the reader of stderr has gone, no SIGPIPE is raised.
SOCKETSERVER_EXPORT void print_error(std::string_view headline, const Address& address,
                                     std::exception_ptr error) noexcept;

}  // namespace socketserver::detail
