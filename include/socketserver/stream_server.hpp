// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <utility>

#include "socketserver/base_server.hpp"
#include "socketserver/detail/server/concepts.hpp"
#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/detail/server/get_request.hpp"

namespace socketserver::detail {

/// What TCPServer and UnixStreamServer share: a request is an accepted connection.
template <class Handler, template <class> class MixIn, Transport transport>
class StreamServer : public BaseServer<Handler, MixIn> {
  protected:
    using Base = BaseServer<Handler, MixIn>;
    using typename Base::HandlerFactory;

    StreamServer(const Address& server_address, const ServerOptions& options,
                 HandlerFactory factory)
        : Base{server_address, transport, options} {
        this->set_handler_factory(std::move(factory));
    }
    StreamServer(Socket&& listening, const ServerOptions& options, HandlerFactory factory)
        : Base{std::move(listening), transport, options} {
        this->set_handler_factory(std::move(factory));
    }

    std::optional<std::pair<Socket, Address>> get_request() override {
        return accept_request(this->socket());
    }
};

}  // namespace socketserver::detail
