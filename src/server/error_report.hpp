// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <string_view>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Prints to stderr, in one piece, as Python prints a traceback: 40 dashes, the headline and the
/// address, the type and the text of the exception and of those nested in it, 40 dashes. Does not
/// throw, nor do its arguments need memory: an error that cannot be printed is lost, which is all
/// that is left. A reader of stderr that has gone is no reason for the program to end: no SIGPIPE
/// comes of it.
SOCKETSERVER_EXPORT void print_error(std::string_view headline, const Address& address,
                                     std::exception_ptr error) noexcept;

}  // namespace socketserver::detail
