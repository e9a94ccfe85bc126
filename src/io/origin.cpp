// SPDX-License-Identifier: MIT
#include "io/origin.hpp"

#include <netinet/in.h>

#include <cstring>

#include "io/sockaddr.hpp"

namespace socketserver::detail {

std::optional<Origin> origin_of(const Address& address) {
    if (address.family() == AddressFamily::inet) {
        const SockAddr raw = to_sockaddr(address);
        return Origin{AddressFamily::inet,
                      reinterpret_cast<const sockaddr_in&>(raw.storage).sin_addr.s_addr};
    }
    if (address.family() != AddressFamily::inet6) return {};
    const SockAddr raw = to_sockaddr(address);
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6&>(raw.storage).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
        std::uint32_t ipv4 = 0;
        std::memcpy(&ipv4, ip.s6_addr + 12, sizeof ipv4);
        return Origin{AddressFamily::inet, ipv4};
    }
    std::uint64_t prefix = 0;
    std::memcpy(&prefix, ip.s6_addr, sizeof prefix);
    return Origin{AddressFamily::inet6, prefix};
}

}  // namespace socketserver::detail
