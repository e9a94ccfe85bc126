// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/forking_mixin.hpp"
#include "socketserver/prefork_mixin.hpp"
#include "socketserver/tcp_server.hpp"
#include "socketserver/thread_pool_mixin.hpp"
#include "socketserver/threading_mixin.hpp"
#include "socketserver/udp_server.hpp"
#include "socketserver/unix_server.hpp"

/// @file
/// The combinations that Python's module has by name, and the same for the policies beyond it. The
/// plain names are the synchronous servers.
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

template <detail::stream_handler Handler>
using ThreadPoolTCPServer = TCPServer<Handler, ThreadPoolMixIn>;
template <detail::datagram_handler Handler>
using ThreadPoolUDPServer = UDPServer<Handler, ThreadPoolMixIn>;
template <detail::stream_handler Handler>
using ThreadPoolUnixStreamServer = UnixStreamServer<Handler, ThreadPoolMixIn>;
template <detail::datagram_handler Handler>
using ThreadPoolUnixDatagramServer = UnixDatagramServer<Handler, ThreadPoolMixIn>;

template <detail::stream_handler Handler>
using PreforkTCPServer = TCPServer<Handler, PreforkMixIn>;
template <detail::datagram_handler Handler>
using PreforkUDPServer = UDPServer<Handler, PreforkMixIn>;
template <detail::stream_handler Handler>
using PreforkUnixStreamServer = UnixStreamServer<Handler, PreforkMixIn>;
template <detail::datagram_handler Handler>
using PreforkUnixDatagramServer = UnixDatagramServer<Handler, PreforkMixIn>;

}  // namespace socketserver
