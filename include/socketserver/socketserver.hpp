// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// All of the library.

#include "socketserver/address.hpp"
#include "socketserver/base_server.hpp"
#include "socketserver/buffered_reader.hpp"
#include "socketserver/buffered_writer.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/drain_report.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/fiber_mixin.hpp"
#include "socketserver/forking_mixin.hpp"
#include "socketserver/handover.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/policy_host.hpp"
#include "socketserver/predefined.hpp"
#include "socketserver/prefork_mixin.hpp"
#include "socketserver/request_handler.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/shutdown_on_signal.hpp"
#include "socketserver/socket.hpp"
#include "socketserver/statistics.hpp"
#include "socketserver/synchronous_mixin.hpp"
#include "socketserver/tcp_server.hpp"
#include "socketserver/thread_pool_mixin.hpp"
#include "socketserver/threading_mixin.hpp"
#include "socketserver/udp_server.hpp"
#include "socketserver/unix_server.hpp"
#include "socketserver/version.hpp"
