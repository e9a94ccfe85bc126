// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/transport_server.hpp"

namespace socketserver {

/// UDP, on IPv4 or IPv6 according to the address. "::" means both versions, whatever the default of
/// the machine is (net.ipv6.bindv6only).
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT UDPTransport final : public DatagramTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::allow_reuse_address` and `allow_reuse_port`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Makes the kernel tell how many datagrams it has dropped and, if the server is bound to every
    /// address, to which address each datagram was sent.
    void prepare_receive(const Socket& socket, const Address& address) const override;
    /// The next datagram and its sender's address, or nothing if there is none.
    std::optional<std::pair<Datagram, Address>> get_request(const std::shared_ptr<Socket>& bound,
                                                            const ServerOptions& options) const;
    /// Drops every datagram that arrives.
    void stop_queueing(const Socket& socket) const noexcept override;
};

/// A server on UDP, on IPv4 or IPv6 according to its address: each datagram is a request.
///
/// `Handler` derives from DatagramRequestHandler or BaseRequestHandler<Datagram>. A datagram that
/// is longer than `ServerOptions::max_packet_size` is cut, and Datagram::truncated() is true for
/// it. A reply comes from the address to which the client sent its datagram, also if the server is
/// bound to all addresses of the machine.
///
/// Constructors: TransportServer. Lifecycle, thread safety and errors: ServerBase. Hooks:
/// BaseServer. Mirrors `socketserver.UDPServer`.
template <detail::datagram_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UDPServer : public TransportServer<Handler, MixIn, UDPTransport> {
  public:
    using TransportServer<Handler, MixIn, UDPTransport>::TransportServer;
    ~UDPServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
