// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "socketserver/datagram_server.hpp"

namespace socketserver {

/// A server on UDP, IPv4 or IPv6 by its address: each datagram is a request.
///
/// `Handler` derives from DatagramRequestHandler or BaseRequestHandler<Datagram>. A datagram that
/// is longer than `ServerOptions::max_packet_size` is cut and says so (Datagram::truncated()).
///
/// Lifecycle, thread safety and errors: ServerBase. Hooks: BaseServer. Mirrors
/// `socketserver.UDPServer`.
template <detail::datagram_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UDPServer : public detail::DatagramServer<Handler, MixIn, detail::Transport::udp> {
    using Base = detail::DatagramServer<Handler, MixIn, detail::Transport::udp>;

  public:
    using typename Base::HandlerFactory;

    /// Binds, unless the options say otherwise. `factory` makes the handler of each request.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit UDPServer(const Address& server_address, const ServerOptions& options = {},
                       HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, options, std::move(factory)} {
        if (!options.bind_and_activate) return;
        UDPServer::server_bind();  // as this class has it: a derived one does not exist yet
        UDPServer::server_activate();
    }
    /// Adopts a bound socket, for example `Socket{3}` from a service manager.
    ///
    /// @throws std::system_error if it is of another kind.
    explicit UDPServer(Socket&& bound, const ServerOptions& options = {},
                       HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(bound), options, std::move(factory)} {}
    ~UDPServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
