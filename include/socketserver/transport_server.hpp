// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <utility>

#include "socketserver/base_server.hpp"
#include "socketserver/detail/server/concepts.hpp"
#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/transport.hpp"

namespace socketserver {

namespace detail {
/// The one object of a transport.
template <transport_class T>
inline constexpr T the_transport{};
}  // namespace detail

/// A server on a transport (Transport). TCPServer, UDPServer, UnixStreamServer and
/// UnixDatagramServer derive from it, and it makes a server of a transport of your own.
///
/// Lifecycle, thread safety and errors: ServerBase. Hooks: BaseServer.
template <class Handler, template <class> class MixIn, transport_class T>
requires detail::handler_of<Handler, typename T::Request>
class TransportServer : public BaseServer<Handler, MixIn> {
    using Base = BaseServer<Handler, MixIn>;

  public:
    using typename Base::HandlerFactory;

    /// Binds, and listens if the transport does, unless the options say otherwise. `factory` makes
    /// the handler of each request.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit TransportServer(const Address& server_address, const ServerOptions& options = {},
                             HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, detail::the_transport<T>, options} {
        this->set_handler_factory(std::move(factory));
        if (!options.bind_and_activate) return;
        TransportServer::server_bind();  // the derived class does not exist yet
        TransportServer::server_activate();
    }
    /// Adopts a socket that is bound (and listens, if the transport does), for example `Socket{3}`
    /// from a service manager.
    ///
    /// @throws std::system_error if the socket is of another kind.
    explicit TransportServer(Socket&& bound, const ServerOptions& options = {},
                             HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(bound), detail::the_transport<T>, options} {
        this->set_handler_factory(std::move(factory));
    }
    ~TransportServer() override { this->end_before_destruction(); }

  protected:
    /// Takes the next request by the get_request() of the transport. Returns nothing if there is
    /// none.
    std::optional<std::pair<typename T::Request, Address>> get_request() override {
        static_cast<void>(this->socket());  // throws if the server is closed
        return detail::the_transport<T>.get_request(this->shared_socket(), this->options());
    }
};

}  // namespace socketserver
