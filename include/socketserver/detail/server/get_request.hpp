// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The next datagram, at most `max_packet_size` bytes of it; nothing if there is none.
///
/// @param is_told whether to read where the datagram arrived; false for Unix sockets.
/// @throws std::system_error as recvmsg(2) failed.
SOCKETSERVER_EXPORT std::optional<std::pair<Datagram, Address>> receive_request(
    const std::shared_ptr<Socket>& socket, std::size_t max_packet_size, bool is_told = false);

/// Tells the client that no more output comes. It is not an error if the client has gone already.
SOCKETSERVER_EXPORT void end_output(Socket& connection) noexcept;
inline void end_output(Datagram&) noexcept {}

/// Closes a connection, unless it is closed already. If the client has been answered and is still
/// sending, the descriptor goes to Lingering, because closing it would make the client lose the
/// answer.
SOCKETSERVER_EXPORT void close_connection(Socket& connection) noexcept;
inline void close_connection(Datagram&) noexcept {}

}  // namespace socketserver::detail
