// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/arrival.hpp"
#include "socketserver/detail/io/channel.hpp"

// The conversion of an Arrival to and from control data of the kernel.
namespace socketserver::detail {

/// The size of a buffer for what the kernel tells of a datagram. For an IPv4 datagram on an IPv6
/// socket the kernel tells it in both forms.
inline constexpr std::size_t arrival_size = 128;

/// Reads the control data of a received message. Sets `dropped` to the number of datagrams that the
/// kernel has dropped so far because the queue of the socket was full; it is not changed if the
/// kernel does not tell the number.
Arrival arrival_of(msghdr& message, std::uint32_t& dropped) noexcept;
/// Makes a message be sent from the address in `arrival`. `buffer` has `arrival_size` bytes, and
/// holds the control data.
void send_from(const Arrival& arrival, msghdr& message, void* buffer) noexcept;
/// The address that the datagram was sent to, with this port.
Address destination_of(const Arrival& arrival, std::uint16_t port);
/// The address of this machine that a reply comes from, with the port of `bound`; `bound` itself if
/// the kernel has told nothing.
Address source_of(const Arrival& arrival, const Address& bound);

/// The arrival of the datagram that the calling thread, or fiber, serves, if a message to `to`
/// through this socket is a reply to that datagram and the kernel has told where it arrived;
/// otherwise null. Implemented one floor above.
const Arrival* arrival_of_request(const Channel& channel, const Address& to) noexcept;

}  // namespace socketserver::detail
