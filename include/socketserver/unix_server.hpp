// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/transport_server.hpp"

namespace socketserver {

/// Unix-domain stream sockets.
class SOCKETSERVER_EXPORT UnixStreamTransport final : public ConnectionTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::unix_mode`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Refuses whoever comes.
    void stop_queueing(const Socket& socket) const noexcept override;
};

/// Unix-domain datagram sockets.
class SOCKETSERVER_EXPORT UnixDatagramTransport final : public DatagramTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::unix_mode`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Refuses what comes.
    void stop_queueing(const Socket& socket) const noexcept override;
};

/// A server on a Unix-domain stream socket: each connection is a request.
///
/// The address is a path, or "@name" in the abstract namespace. A socket file that a dead server
/// left at the path is replaced; one on which a server listens never, nor any other file. The file
/// is removed by server_close(), where it was made, also if it is relative and the program has
/// changed its working directory. From server_bind() to the end of server_activate() the folder is
/// locked by flock(2), so that of several servers which start at once one serves.
/// `ServerOptions::unix_mode` sets its permissions.
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
/// A client that wants an answer must be bound to an address of its own, as create_connection()
/// does. The path is treated as by UnixStreamServer.
///
/// A reply to a client whose queue is full, because it does not read, is given up after 100 ms, or
/// when ServerOptions::request_timeout is over if that is set: TimeoutError, or DeadlineExceeded. A
/// drain, or a stop, ends the wait as well. A client that was given up and goes on asking is not
/// waited for again. `socket().settimeout()` says for how long otherwise.
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
