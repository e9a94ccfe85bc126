// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "socketserver/address.hpp"
#include "socketserver/detail/channel.hpp"

namespace socketserver::detail {

/// Throws std::system_error from errno.
[[noreturn]] void throw_system_error(const std::string& operation);

/// The same for an operation on a connection: TimeoutError and Cancelled where errno says so, and
/// the channel remembers when it was the peer that went away.
[[noreturn]] void throw_io_error(Channel& channel, const std::string& operation);

/// The same for bind(2): the text says what can be done about it.
[[noreturn]] void throw_bind_error(const Address& address);

}  // namespace socketserver::detail
