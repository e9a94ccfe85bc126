// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Whom a limit on one client counts: an IPv4 address, however it is written, or an IPv6 network of
/// 64 bits. The bits of the address stand in its order in memory.
using Origin = std::pair<AddressFamily, std::uint64_t>;

/// Nothing if it is no address of IP.
SOCKETSERVER_EXPORT std::optional<Origin> origin_of(const Address& address);

}  // namespace socketserver::detail
