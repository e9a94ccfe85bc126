// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "socketserver/stream_server.hpp"

namespace socketserver {

/// A server on TCP, IPv4 or IPv6 by its address: each connection is a request.
///
/// `Handler` derives from StreamRequestHandler or BaseRequestHandler<>. `MixIn` says where and when
/// a connection is served: SynchronousMixIn, ThreadingMixIn, ForkingMixIn, or one of your own.
///
///     class EchoHandler : public socketserver::StreamRequestHandler {
///         void handle() override {
///             for (std::string_view line : rfile()) wfile().write(line);
///         }
///     };
///     socketserver::TCPServer<EchoHandler, socketserver::ThreadingMixIn> server{{"localhost",
///     9999}}; server.serve_forever();
///
/// Lifecycle, thread safety and errors: ServerBase. Hooks: BaseServer. Mirrors
/// `socketserver.TCPServer`.
template <detail::stream_handler Handler, template <class> class MixIn = SynchronousMixIn>
class TCPServer : public detail::StreamServer<Handler, MixIn, detail::Transport::tcp> {
    using Base = detail::StreamServer<Handler, MixIn, detail::Transport::tcp>;

  public:
    using typename Base::HandlerFactory;

    /// Binds and listens, unless the options say otherwise. `factory` makes the handler of each
    /// request.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit TCPServer(const Address& server_address, const ServerOptions& options = {},
                       HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, options, std::move(factory)} {
        if (!options.bind_and_activate) return;
        TCPServer::server_bind();  // as this class has it: a derived one does not exist yet
        TCPServer::server_activate();
    }
    /// Adopts a listening socket, for example `Socket{3}` from a service manager.
    ///
    /// @throws std::system_error if it is of another kind.
    explicit TCPServer(Socket&& listening, const ServerOptions& options = {},
                       HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(listening), options, std::move(factory)} {}
    ~TCPServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
