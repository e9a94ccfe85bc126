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

/// TCPServer with a thread for each request. Mirrors `socketserver.ThreadingTCPServer`.
template <detail::stream_handler Handler>
using ThreadingTCPServer = TCPServer<Handler, ThreadingMixIn>;
/// UDPServer with a thread for each request. Mirrors `socketserver.ThreadingUDPServer`.
template <detail::datagram_handler Handler>
using ThreadingUDPServer = UDPServer<Handler, ThreadingMixIn>;
/// UnixStreamServer with a thread for each request. Mirrors
/// `socketserver.ThreadingUnixStreamServer`.
template <detail::stream_handler Handler>
using ThreadingUnixStreamServer = UnixStreamServer<Handler, ThreadingMixIn>;
/// UnixDatagramServer with a thread for each request. Mirrors
/// `socketserver.ThreadingUnixDatagramServer`.
template <detail::datagram_handler Handler>
using ThreadingUnixDatagramServer = UnixDatagramServer<Handler, ThreadingMixIn>;

/// TCPServer with a process for each request. Mirrors `socketserver.ForkingTCPServer`.
template <detail::stream_handler Handler>
using ForkingTCPServer = TCPServer<Handler, ForkingMixIn>;
/// UDPServer with a process for each request. Mirrors `socketserver.ForkingUDPServer`.
template <detail::datagram_handler Handler>
using ForkingUDPServer = UDPServer<Handler, ForkingMixIn>;
/// UnixStreamServer with a process for each request. Mirrors
/// `socketserver.ForkingUnixStreamServer`.
template <detail::stream_handler Handler>
using ForkingUnixStreamServer = UnixStreamServer<Handler, ForkingMixIn>;
/// UnixDatagramServer with a process for each request. Mirrors
/// `socketserver.ForkingUnixDatagramServer`.
template <detail::datagram_handler Handler>
using ForkingUnixDatagramServer = UnixDatagramServer<Handler, ForkingMixIn>;

/// TCPServer with a pool of threads.
template <detail::stream_handler Handler>
using ThreadPoolTCPServer = TCPServer<Handler, ThreadPoolMixIn>;
/// UDPServer with a pool of threads.
template <detail::datagram_handler Handler>
using ThreadPoolUDPServer = UDPServer<Handler, ThreadPoolMixIn>;
/// UnixStreamServer with a pool of threads.
template <detail::stream_handler Handler>
using ThreadPoolUnixStreamServer = UnixStreamServer<Handler, ThreadPoolMixIn>;
/// UnixDatagramServer with a pool of threads.
template <detail::datagram_handler Handler>
using ThreadPoolUnixDatagramServer = UnixDatagramServer<Handler, ThreadPoolMixIn>;

/// TCPServer with processes that are forked in advance.
template <detail::stream_handler Handler>
using PreforkTCPServer = TCPServer<Handler, PreforkMixIn>;
/// UDPServer with processes that are forked in advance.
template <detail::datagram_handler Handler>
using PreforkUDPServer = UDPServer<Handler, PreforkMixIn>;
/// UnixStreamServer with processes that are forked in advance.
template <detail::stream_handler Handler>
using PreforkUnixStreamServer = UnixStreamServer<Handler, PreforkMixIn>;
/// UnixDatagramServer with processes that are forked in advance.
template <detail::datagram_handler Handler>
using PreforkUnixDatagramServer = UnixDatagramServer<Handler, PreforkMixIn>;

}  // namespace socketserver
