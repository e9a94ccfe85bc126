// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"
#include "socketserver/socket.hpp"

/// @file
/// A new process takes over the listening socket of an old one, which then drains: no client is
/// refused meanwhile, because the queue of the socket is the same.
///
///     // The old process:
///     Socket peer = channel.accept().first;
///     send_listener(peer, server);
///     if (peer.recv(1) == "r") server.drain(30s, AcceptQueue::leave);
///
///     // The new process:
///     Socket peer = create_connection("@handover");
///     TCPServer<Handler> server{receive_listener(peer)};
///     std::thread serving{[&] { server.serve_forever(); }};
///     peer.sendall("r");
///
/// The old process goes on serving until the new one has said that it serves. If the new one never
/// does, nothing has changed. A child process that inherited the descriptor needs neither function:
/// it adopts the descriptor with `Socket{descriptor}`.
namespace socketserver {

class ServerBase;

/// Sends the listening socket of a server to another process, over a connected Unix socket
/// (SCM_RIGHTS). The server keeps it as well.
///
/// @throws std::system_error if the server is closed, or the other process has gone.
SOCKETSERVER_EXPORT void send_listener(Socket& unix_socket, const ServerBase& server);

/// Receives what send_listener() sent: a socket for the constructor of a server.
///
/// @throws std::system_error, with `std::errc::bad_message` if no socket came; TimeoutError.
SOCKETSERVER_EXPORT Socket receive_listener(Socket& unix_socket);

}  // namespace socketserver
