// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <utility>

#include "socketserver/base_server.hpp"
#include "socketserver/detail/server/concepts.hpp"
#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/detail/server/get_request.hpp"

namespace socketserver::detail {

/// What UDPServer and UnixDatagramServer share: a request is a received datagram.
template <class Handler, template <class> class MixIn, Transport transport>
class DatagramServer : public BaseServer<Handler, MixIn> {
  protected:
    using Base = BaseServer<Handler, MixIn>;
    using typename Base::HandlerFactory;

    DatagramServer(const Address& server_address, const ServerOptions& options,
                   HandlerFactory factory)
        : Base{server_address, transport, options} {
        this->set_handler_factory(std::move(factory));
    }
    DatagramServer(Socket&& bound, const ServerOptions& options, HandlerFactory factory)
        : Base{std::move(bound), transport, options} {
        this->set_handler_factory(std::move(factory));
    }

    std::optional<std::pair<Datagram, Address>> get_request() override {
        return receive_request(this->shared_socket(), this->options().max_packet_size);
    }
};

}  // namespace socketserver::detail
