// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/transport_server.hpp"

namespace socketserver {

/// Unix-domain stream sockets.
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT UnixStreamTransport final : public ConnectionTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::unix_mode`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Refuses new clients.
    void stop_queueing(const Socket& socket) const noexcept override;
};

/// Unix-domain datagram sockets.
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT UnixDatagramTransport final : public DatagramTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::unix_mode`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Refuses new datagrams.
    void stop_queueing(const Socket& socket) const noexcept override;
};

/// A server on a Unix-domain stream socket: each connection is a request.
///
/// The address is a path, or "@name" in the abstract namespace. A socket file that a dead server
/// left at the path is replaced. A socket on which a server listens is never replaced, nor is any
/// other kind of file. server_close() removes the file, also if the path is relative and the
/// program has changed its working directory. From server_bind() to the end of server_activate()
/// the folder is locked by flock(2), so that only one of several servers that start at the same
/// time gets the path. `ServerOptions::unix_mode` sets its permissions.
///
/// Constructors: TransportServer. Lifecycle, thread safety and errors: ServerBase. Hooks:
/// BaseServer. Mirrors `socketserver.UnixStreamServer`.
template <detail::stream_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UnixStreamServer : public TransportServer<Handler, MixIn, UnixStreamTransport> {
  public:
    using TransportServer<Handler, MixIn, UnixStreamTransport>::TransportServer;
    ~UnixStreamServer() override { this->end_before_destruction(); }
};

/// A server on a Unix-domain datagram socket: each datagram is a request.
///
/// A client that wants an answer must be bound to an address of its own; create_connection() binds
/// it. The path is treated as by UnixStreamServer.
///
/// If the queue of a client is full because the client does not read, a reply to it is given up
/// after 100 ms with TimeoutError or, if ServerOptions::request_timeout is set, after that time
/// with DeadlineExceeded. A drain or a stop ends the wait as well. If such a client goes on sending
/// requests, the server does not wait for it again until it has been quiet for a second.
/// `socket().settimeout()` sets another time than the 100 ms.
///
/// Constructors: TransportServer. Lifecycle, thread safety and errors: ServerBase. Hooks:
/// BaseServer. Mirrors `socketserver.UnixDatagramServer`.
template <detail::datagram_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UnixDatagramServer : public TransportServer<Handler, MixIn, UnixDatagramTransport> {
  public:
    using TransportServer<Handler, MixIn, UnixDatagramTransport>::TransportServer;
    ~UnixDatagramServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
