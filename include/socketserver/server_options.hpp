// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace socketserver {

/// How a server is set up: the class attributes of Python's servers, read once, at construction.
///
///     TCPServer<Handler> server{{"localhost", 9999}, {.allow_reuse_address = true}};
struct ServerOptions {
    /// Whether the constructor binds and listens. A class that overrides server_bind() or
    /// server_activate() says false and calls both in its own constructor.
    bool bind_and_activate = true;
    /// Lets the server bind while connections of an earlier one on the same port are still in
    /// TIME_WAIT (SO_REUSEADDR). No effect on Unix sockets.
    bool allow_reuse_address = false;
    /// Lets several sockets listen on the same port; the kernel spreads connections over them
    /// (SO_REUSEPORT). No effect on Unix sockets.
    bool allow_reuse_port = false;
    /// How many connections may wait in the kernel until they are accepted. The kernel cuts it to
    /// net.core.somaxconn.
    int request_queue_size = 4096;
    /// How long handle_request() waits for a request before it calls handle_timeout(); none: for
    /// ever. serve_forever() ignores it.
    std::optional<std::chrono::milliseconds> timeout{};
    /// How much of a datagram is received. The default holds every UDP datagram.
    std::size_t max_packet_size = 65535;
    /// The permissions of the path of a Unix socket, in force before anyone can connect; none: as
    /// the umask has it.
    std::optional<unsigned> unix_mode{};
};

}  // namespace socketserver
