// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "os/system_error.hpp"
#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

// All of these read errno before anything else, and take the parts of the text: a caller that put
// them together would allocate first, and may find another errno afterwards. For the same reason
// errno is never an argument beside another one that is computed.

/// Throws std::system_error from errno, with the operation and the address as its text.
[[noreturn]] void throw_system_error(std::string_view operation, const Address& address);

/// The same for an operation on a connection: TimeoutError and Cancelled where errno says so, and
/// the channel remembers when it was the peer that went away.
[[noreturn]] void throw_io_error(Channel& channel, std::string_view operation);
[[noreturn]] void throw_io_error(Channel& channel, std::string_view operation,
                                 const Address& address);

/// The same for bind(2) on `descriptor`: the text says what can be done about it.
[[noreturn]] void throw_bind_error(int descriptor, const Address& address);

}  // namespace socketserver::detail
