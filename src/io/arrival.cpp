// SPDX-License-Identifier: MIT
#include "io/arrival.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <span>

#include "io/control_data.hpp"
#include "io/sockaddr.hpp"

namespace socketserver::detail {

namespace {

void take(const in_pktinfo& info, Arrival& arrival) noexcept {
    arrival.is_ipv4 = true;
    arrival.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
    // Not ipi_addr, which may be a group: what the kernel calls its own address on that way.
    std::memcpy(arrival.source.data(), &info.ipi_spec_dst, sizeof info.ipi_spec_dst);
    if (arrival.family == AddressFamily::inet6) return;  // has the other form of it
    arrival.family = AddressFamily::inet;
    std::memcpy(arrival.destination.data(), &info.ipi_addr, sizeof info.ipi_addr);
}

void take(const in6_pktinfo& info, Arrival& arrival) noexcept {
    arrival.family = AddressFamily::inet6;
    arrival.interface = info.ipi6_ifindex;
    std::memcpy(arrival.destination.data(), &info.ipi6_addr, sizeof info.ipi6_addr);
    if (IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr) || IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) return;
    arrival.source = arrival.destination;
}

}  // namespace

Arrival arrival_of(msghdr& message, std::uint32_t& dropped) noexcept {
    Arrival arrival;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(header), sizeof info);
            take(info, arrival);
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(header), sizeof info);
            take(info, arrival);
        } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_RXQ_OVFL) {
            std::memcpy(&dropped, CMSG_DATA(header), sizeof dropped);
        }
    }
    return arrival;
}

void send_from(const Arrival& arrival, msghdr& message, void* buffer) noexcept {
    if (arrival.source == Arrival::Ip{}) return;
    if (arrival.is_ipv4) {
        // Without the interface: the way back may be another one than the way here.
        in_pktinfo info{};
        std::memcpy(&info.ipi_spec_dst, arrival.source.data(), sizeof info.ipi_spec_dst);
        set_control_data(message, buffer, IPPROTO_IP, IP_PKTINFO,
                         std::as_bytes(std::span{&info, 1}));
    } else {
        in6_pktinfo info{};
        std::memcpy(&info.ipi6_addr, arrival.source.data(), sizeof info.ipi6_addr);
        if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = arrival.interface;
        set_control_data(message, buffer, IPPROTO_IPV6, IPV6_PKTINFO,
                         std::as_bytes(std::span{&info, 1}));
    }
}

namespace {

Address address_of(AddressFamily family, const Arrival::Ip& ip, std::uint32_t interface,
                   std::uint16_t port) {
    SockAddr raw;
    if (family == AddressFamily::inet) {
        auto& in = reinterpret_cast<sockaddr_in&>(raw.storage);
        in.sin_family = AF_INET;
        in.sin_port = htons(port);
        std::memcpy(&in.sin_addr, ip.data(), sizeof in.sin_addr);
    } else {
        auto& in6 = reinterpret_cast<sockaddr_in6&>(raw.storage);
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(port);
        std::memcpy(&in6.sin6_addr, ip.data(), sizeof in6.sin6_addr);
        if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6.sin6_addr)) {
            in6.sin6_scope_id = interface;
        }
    }
    return from_sockaddr(raw);
}

}  // namespace

Address destination_of(const Arrival& arrival, std::uint16_t port) {
    return address_of(arrival.family, arrival.destination, arrival.interface, port);
}

Address source_of(const Arrival& arrival, const Address& bound) {
    if (arrival.family == AddressFamily::none || arrival.source == Arrival::Ip{}) return bound;
    Arrival::Ip ip = arrival.source;
    if (arrival.is_ipv4 && arrival.family == AddressFamily::inet6) {  // ::ffff:127.0.0.1
        ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        std::memcpy(ip.data() + 12, arrival.source.data(), 4);
    }
    return address_of(arrival.family, ip, arrival.interface, bound.port());
}

}  // namespace socketserver::detail
