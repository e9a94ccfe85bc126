// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "socketserver/request_handler.hpp"

// The concepts have names that explain the mistake in a compiler's "constraints not satisfied".
namespace socketserver::detail {

template <class Handler>
concept overrides_handle = !std::is_abstract_v<Handler>;

template <class Handler>
concept derives_from_StreamRequestHandler_or_BaseRequestHandler =
    std::is_base_of_v<BaseRequestHandler<Socket>, Handler>;

template <class Handler>
concept derives_from_DatagramRequestHandler_or_BaseRequestHandler_of_Datagram =
    std::is_base_of_v<BaseRequestHandler<Datagram>, Handler>;

/// A handler for TCPServer and UnixStreamServer.
template <class Handler>
concept stream_handler =
    derives_from_StreamRequestHandler_or_BaseRequestHandler<Handler> && overrides_handle<Handler>;

/// A handler for UDPServer and UnixDatagramServer.
template <class Handler>
concept datagram_handler =
    derives_from_DatagramRequestHandler_or_BaseRequestHandler_of_Datagram<Handler> &&
    overrides_handle<Handler>;

/// A handler for TransportServer, on a transport with such requests.
template <class Handler, class Request>
concept handler_of =
    std::is_base_of_v<BaseRequestHandler<Request>, Handler> && overrides_handle<Handler>;

}  // namespace socketserver::detail
