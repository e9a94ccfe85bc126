// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/arrival.hpp"
#include "socketserver/detail/io/channel.hpp"

// Arrival on its way to the kernel and back.
namespace socketserver::detail {

/// Room for what the kernel tells of a datagram; an IPv4 one on an IPv6 socket is told of twice.
inline constexpr std::size_t arrival_size = 128;

/// What the control data of a received message say. `dropped`: how many datagrams the kernel has
/// dropped so far, because the queue of the socket was full; not changed if it says nothing of it.
Arrival arrival_of(msghdr& message, std::uint32_t& dropped) noexcept;
/// Writes into `buffer`, of `arrival_size` bytes, from where a message is to be sent.
void send_from(const Arrival& arrival, msghdr& message, void* buffer) noexcept;
/// The address that the datagram was sent to, with this port.
Address destination_of(const Arrival& arrival, std::uint16_t port);
/// The address of this machine that a reply comes from, with the port of `bound`; `bound` itself if
/// the kernel has told nothing.
Address source_of(const Arrival& arrival, const Address& bound);

/// Of the datagram that the calling thread, or fiber, serves, if a message to `to` through this
/// socket is a reply to it, and the kernel has told where it arrived; otherwise null. Implemented
/// one floor above.
const Arrival* arrival_of_request(const Channel& channel, const Address& to) noexcept;

}  // namespace socketserver::detail
