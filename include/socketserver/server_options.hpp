// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace socketserver {

/// What happens to the clients that are too many.
enum class Overload : unsigned char {
    wait,   ///< they wait in the kernel's queue until there is room
    close,  ///< they are accepted, refuse_request() is called, and they are closed
    reset,  ///< the same, but the connection is reset: it costs the kernel nothing more
};

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

    /// How many connections may be accepted and not ended, hard; 0: as many as there are. None:
    /// for a stream server a little fewer than there can be descriptors (RLIMIT_NOFILE), otherwise
    /// as many as there are.
    std::optional<std::size_t> max_connections{};
    /// How many of them one client may have: an IPv4 address, or an IPv6 network of 64 bits.
    std::optional<std::size_t> max_connections_per_address{};
    /// How many connections are accepted in a second; a tenth of them may come at once.
    std::optional<std::size_t> max_accept_rate{};
    /// What happens beyond these limits. A client with too many connections of its own cannot be
    /// told from others while it waits: where this says wait, it is closed.
    Overload overload = Overload::wait;

    /// How long a client may take to begin a request; then IdleTimeout is thrown in the handler.
    /// A request begins with its first byte. It ends when the handler, having sent something, waits
    /// for input again and has used what it read.
    std::optional<std::chrono::nanoseconds> idle_timeout{};
    /// How long a request may take as a whole, input and output; then every operation on the
    /// connection throws DeadlineExceeded, whether it would have to wait or not. What a server
    /// sends unasked is a request in this sense. Of a Unix datagram it bounds how long a reply
    /// waits for its client (UnixDatagramServer).
    std::optional<std::chrono::nanoseconds> request_timeout{};
};

}  // namespace socketserver
