// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "socketserver/address.hpp"

namespace socketserver::detail {

/// Where a datagram arrived, if its socket has asked the kernel for that (IP_PKTINFO,
/// IPV6_RECVPKTINFO). A value that costs nothing to copy: each Datagram has one.
struct Arrival {
    using Ip = std::array<unsigned char, 16>;  ///< network order; IPv4 uses the first four

    /// Of `destination`: inet, inet6, or none if the kernel has told nothing.
    AddressFamily family = AddressFamily::none;
    /// The packet was IPv4, also if it came to an IPv6 socket: `source` has four bytes.
    bool is_ipv4 = false;
    std::uint32_t interface = 0;
    Ip destination{};  ///< may be a group, or a broadcast address
    /// The address of this machine that a reply comes from; all zero: the kernel chooses.
    Ip source{};
};

}  // namespace socketserver::detail
