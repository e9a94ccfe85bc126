// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/forking_mixin.hpp"
#include "socketserver/tcp_server.hpp"
#include "socketserver/threading_mixin.hpp"
#include "socketserver/udp_server.hpp"
#include "socketserver/unix_server.hpp"

/// @file
/// The combinations that Python's module has by name. The plain names are the synchronous servers.
namespace socketserver {

template <detail::stream_handler Handler>
using ThreadingTCPServer = TCPServer<Handler, ThreadingMixIn>;
template <detail::datagram_handler Handler>
using ThreadingUDPServer = UDPServer<Handler, ThreadingMixIn>;
template <detail::stream_handler Handler>
using ThreadingUnixStreamServer = UnixStreamServer<Handler, ThreadingMixIn>;
template <detail::datagram_handler Handler>
using ThreadingUnixDatagramServer = UnixDatagramServer<Handler, ThreadingMixIn>;

template <detail::stream_handler Handler>
using ForkingTCPServer = TCPServer<Handler, ForkingMixIn>;
template <detail::datagram_handler Handler>
using ForkingUDPServer = UDPServer<Handler, ForkingMixIn>;
template <detail::stream_handler Handler>
using ForkingUnixStreamServer = UnixStreamServer<Handler, ForkingMixIn>;
template <detail::datagram_handler Handler>
using ForkingUnixDatagramServer = UnixDatagramServer<Handler, ForkingMixIn>;

}  // namespace socketserver
