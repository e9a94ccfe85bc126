// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "socketserver/datagram_server.hpp"
#include "socketserver/stream_server.hpp"

namespace socketserver {

/// A server on a Unix-domain stream socket: each connection is a request.
///
/// The address is a path, or "@name" in the abstract namespace. A socket file that a dead server
/// left at the path is replaced; one on which a server listens never, nor any other file. The file
/// is removed by server_close(), where it was made, also if it is relative and the program has
/// changed its working directory. From server_bind() to the end of server_activate() the folder is
/// locked by flock(2), so that of several servers which start at once one serves.
/// `ServerOptions::unix_mode` sets its permissions.
///
/// Lifecycle, thread safety and errors: ServerBase. Hooks: BaseServer. Mirrors
/// `socketserver.UnixStreamServer`.
template <detail::stream_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UnixStreamServer
    : public detail::StreamServer<Handler, MixIn, detail::Transport::unix_stream> {
    using Base = detail::StreamServer<Handler, MixIn, detail::Transport::unix_stream>;

  public:
    using typename Base::HandlerFactory;

    /// Binds and listens, unless the options say otherwise. `factory` makes the handler of each
    /// request.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit UnixStreamServer(const Address& server_address, const ServerOptions& options = {},
                              HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, options, std::move(factory)} {
        if (!options.bind_and_activate) return;
        UnixStreamServer::server_bind();  // as this class has it: a derived one does not exist yet
        UnixStreamServer::server_activate();
    }
    /// Adopts a listening socket, for example `Socket{3}` from a service manager.
    ///
    /// @throws std::system_error if it is of another kind.
    explicit UnixStreamServer(Socket&& listening, const ServerOptions& options = {},
                              HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(listening), options, std::move(factory)} {}
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
/// Lifecycle, thread safety and errors: ServerBase. Hooks: BaseServer. Mirrors
/// `socketserver.UnixDatagramServer`.
template <detail::datagram_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UnixDatagramServer
    : public detail::DatagramServer<Handler, MixIn, detail::Transport::unix_datagram> {
    using Base = detail::DatagramServer<Handler, MixIn, detail::Transport::unix_datagram>;

  public:
    using typename Base::HandlerFactory;

    /// Binds, unless the options say otherwise. `factory` makes the handler of each request.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit UnixDatagramServer(const Address& server_address, const ServerOptions& options = {},
                                HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, options, std::move(factory)} {
        if (!options.bind_and_activate) return;
        UnixDatagramServer::server_bind();  // as this class has it: a derived one does not exist
                                            // yet
        UnixDatagramServer::server_activate();
    }
    /// Adopts a bound socket, for example `Socket{3}` from a service manager.
    ///
    /// @throws std::system_error if it is of another kind.
    explicit UnixDatagramServer(Socket&& bound, const ServerOptions& options = {},
                                HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(bound), options, std::move(factory)} {}
    ~UnixDatagramServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
