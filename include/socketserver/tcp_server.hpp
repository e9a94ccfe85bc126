// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "socketserver/transport_server.hpp"

namespace socketserver {

/// TCP, on IPv4 or IPv6 according to the address. "::" means both versions, whatever the default of
/// the machine is (net.ipv6.bindv6only).
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT TCPTransport final : public ConnectionTransport {
  public:
    int socket_type() const noexcept override;
    void check_address(const Address& address) const override;
    Socket open(const Address& address) const override;
    /// `ServerOptions::allow_reuse_address` and `allow_reuse_port`.
    void prepare_bind(const Socket& socket, const Address& address,
                      const ServerOptions& options) const override;
    /// Drops packets that would begin a connection, but not those that complete one.
    void stop_queueing(const Socket& socket) const noexcept override;
    std::chrono::milliseconds handshake_time() const noexcept override;
    void stop_listening(const Socket& socket) const noexcept override;
};

/// A server on TCP, on IPv4 or IPv6 according to its address: each connection is a request.
///
/// `Handler` derives from StreamRequestHandler or BaseRequestHandler<>. `MixIn` says where and when
/// a connection is served: SynchronousMixIn, ThreadingMixIn, ForkingMixIn, or one of your own.
///
///     class EchoHandler : public socketserver::StreamRequestHandler {
///         void handle() override {
///             for (std::string_view line : rfile()) wfile().write(line);
///         }
///     };
///     socketserver::TCPServer<EchoHandler> server{{"localhost", 9999}};
///     server.serve_forever();
///
/// Constructors: TransportServer. Lifecycle, thread safety and errors: ServerBase. Hooks:
/// BaseServer. Mirrors `socketserver.TCPServer`.
template <detail::stream_handler Handler, template <class> class MixIn = SynchronousMixIn>
class TCPServer : public TransportServer<Handler, MixIn, TCPTransport> {
  public:
    using TransportServer<Handler, MixIn, TCPTransport>::TransportServer;
    ~TCPServer() override { this->end_before_destruction(); }
};

}  // namespace socketserver
