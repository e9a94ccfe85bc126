// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace socketserver {

/// What happens to clients beyond a limit.
enum class Overload : unsigned char {
    wait,   ///< they wait in the kernel's queue until there is room
    close,  ///< they are accepted, refuse_request() is called, and they are closed
    reset,  ///< the same, but the connection is reset, after which the kernel keeps nothing of it
};

/// Which connections begin with a header of the PROXY protocol (proxy_protocol.hpp). The peer is
/// the other end of the connection: the proxy, if there is one.
enum class ProxyProtocol : unsigned char {
    off,            ///< none: all bytes go to the handler
    required,       ///< all
    from_networks,  ///< those of peers in `proxy_networks`; other connections are served without a
                    ///< header
    only_from_networks,  ///< the same, but other peers are refused (RefuseCause::untrusted_peer)
};

/// Those of ServerOptions that may be changed while the server serves: the members of the same
/// names, with the same meanings. See ServerBase::set_live_options().
struct LiveOptions {
    std::optional<std::size_t> max_connections{};  ///< see ServerOptions::max_connections
    std::optional<std::size_t>
        max_connections_per_address{};  ///< see ServerOptions::max_connections_per_address
    std::optional<std::size_t> max_accept_rate{};            ///< see ServerOptions::max_accept_rate
    std::optional<std::chrono::nanoseconds> idle_timeout{};  ///< see ServerOptions::idle_timeout
    std::optional<std::chrono::nanoseconds>
        request_timeout{};  ///< see ServerOptions::request_timeout

    friend bool operator==(const LiveOptions&, const LiveOptions&) = default;
};

/// How a server is set up: the class attributes of Python's servers, read once, at construction.
/// Some of them may be changed later, see LiveOptions.
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
    /// How long handle_request() waits for a request before it calls handle_timeout(). Without a
    /// value it waits for ever. serve_forever() ignores this option.
    std::optional<std::chrono::milliseconds> timeout{};
    /// How much of a datagram is received. The default holds every UDP datagram.
    std::size_t max_packet_size = 65535;
    /// The permissions of the file of a Unix socket, which are set before anyone can connect.
    /// Without a value the umask decides.
    std::optional<unsigned> unix_mode{};

    /// How many requests may be accepted and not ended yet. The limit is exact. 0 means no limit.
    /// Without a value a stream server takes a little fewer than the process may have descriptors
    /// (RLIMIT_NOFILE), and a datagram server has no limit.
    std::optional<std::size_t> max_connections{};
    /// How many of them one client may have: an IPv4 address, or an IPv6 network of 64 bits.
    std::optional<std::size_t> max_connections_per_address{};
    /// How many connections are accepted in a second; a tenth of them may come at once.
    std::optional<std::size_t> max_accept_rate{};
    /// What happens to clients beyond these limits. With `wait`, a client that has too many
    /// connections of its own is closed instead: while it waits in the kernel's queue, nobody knows
    /// whose connection it is.
    Overload overload = Overload::wait;

    /// How long a client may take to begin a request. After that the handler's receive throws
    /// IdleTimeout. A request begins with its first byte. It ends when the handler has sent
    /// something, has used all that it read, and waits for input again.
    std::optional<std::chrono::nanoseconds> idle_timeout{};
    /// How long a request may take as a whole, input and output together. After that every
    /// operation on the connection throws DeadlineExceeded, whether it would have to wait or not.
    /// What a server sends without being asked counts as a request. For a Unix datagram this is how
    /// long a reply waits for its client (UnixDatagramServer).
    std::optional<std::chrono::nanoseconds> request_timeout{};

    /// Of UDPServer: how many bytes are sent to a client for each byte that it has sent, before it
    /// has proved its address (Datagram::set_source_proved()). Further replies are withheld
    /// (Statistics::replies_withheld), without an error. 3 is usual. Clients are told apart as for
    /// `max_connections_per_address`. All processes of the server count together. No effect on
    /// UDPSessionServer, nor on what is sent to who has not sent anything.
    std::optional<std::size_t> max_amplification{};
    /// Of UDPServer: how many replies are sent in a second to one network, an IPv4 one of 24 bits
    /// or an IPv6 one of 56; as many may be sent at once. Not counted are those to clients that
    /// have proved their address. What is beyond is withheld in the same way.
    std::optional<std::size_t> max_reply_rate{};
    /// Of UDPServer under SynchronousMixIn: for how long a reply may be held back, to be sent with
    /// those to the next datagrams by one system call (sendmmsg). While datagrams come faster than
    /// they are served, that makes a server faster by a tenth. Without a value, each reply is sent
    /// at once.
    ///
    /// A reply is held back while the loop serves datagrams that it has received together with this
    /// one, at most 15, and for longer than this time only if one of their handlers takes longer.
    /// It is sent before a handler waits by a function of the library; handlers must not wait by
    /// others. A reply that then cannot be sent is counted (Statistics::replies_failed), and no
    /// exception is thrown.
    std::optional<std::chrono::nanoseconds> max_reply_delay{};
    /// Of UDPServer under PreforkMixIn: each worker process has a socket of its own, on the same
    /// address (SO_REUSEPORT), and the kernel spreads clients over them: all datagrams of one
    /// client go to the same worker. So workers do not wake for the same datagram, and do not take
    /// from the same queue. The parent opens the sockets when serve_forever() begins, and keeps
    /// them: a worker that is replaced leaves its socket to the next one, with all that waits in
    /// it.
    ///
    /// A server on another transport, or on a socket that it has adopted, throws from its
    /// constructor. No effect under policies without worker processes. Beyond Python.
    bool socket_per_worker = false;

    /// Which connections begin with a header of the PROXY protocol. Where one has to come, a
    /// connection without is closed (CloseReason::proxy_header); else anybody could claim to be
    /// anybody. client_address() is then the client that the header names, and
    /// `max_connections_per_address` counts by it, as soon as the header is there. It is read where
    /// the request is served. No effect on datagram servers.
    ProxyProtocol proxy_protocol = ProxyProtocol::off;
    /// The networks of trusted proxies, as Address::in_network() takes them: "10.0.0.0/8", "::1".
    /// "unix:" stands for every peer on a Unix socket.
    std::vector<std::string> proxy_networks{};
    /// How long the whole header may take to arrive.
    std::chrono::nanoseconds proxy_header_timeout = std::chrono::seconds{5};
};

}  // namespace socketserver
