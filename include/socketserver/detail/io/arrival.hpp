// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "socketserver/address.hpp"

namespace socketserver::detail {

/// Where a datagram arrived, if its socket has asked the kernel for that (IP_PKTINFO,
/// IPV6_RECVPKTINFO). A small value that is cheap to copy; each Datagram has one.
struct Arrival {
    using Ip = std::array<unsigned char, 16>;  ///< network order; IPv4 uses the first four

    /// The family of `destination`: inet, inet6, or none if the kernel has told nothing.
    AddressFamily family = AddressFamily::none;
    /// Whether the packet was IPv4, which it may be on an IPv6 socket too. If so, `source` has four
    /// bytes.
    bool is_ipv4 = false;
    std::uint32_t interface = 0;
    Ip destination{};  ///< may be a group, or a broadcast address
    /// The address of this machine from which a reply is sent. If it is all zero, the kernel
    /// chooses.
    Ip source{};
};

}  // namespace socketserver::detail
