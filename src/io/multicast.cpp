// SPDX-License-Identifier: MIT
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/socket.hpp"

// Groups and broadcasts of a Socket.
namespace socketserver {

namespace {

int interface_index(const std::string& name) {
    const std::uint32_t index = detail::find_interface(name);
    if (index != 0) return static_cast<int>(index);
    throw std::system_error(
        ENODEV, std::system_category(),
        "there is no network interface \"" + name + "\" (`ip link` lists them)");
}

/// The interface of a link-local group such as "ff02::fb%eth0".
std::uint32_t scope_of(const detail::SockAddr& address) {
    if (address.storage.ss_family != AF_INET6) return 0;
    return reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_scope_id;
}

std::string to_text(const MulticastGroup& group) {
    std::string text = group.group.host();
    if (!group.interface.empty()) text += " on " + group.interface;
    if (!group.source.empty()) text += " from " + group.source.host();
    return text;
}

void require_number(const Address& address, const char* what) {
    if (address.family() == AddressFamily::inet || address.family() == AddressFamily::inet6) return;
    throw std::system_error(EINVAL, std::system_category(),
                            std::string{what} + ' ' + address.to_string() + " is no IP address");
}

/// Keeps datagrams of groups that other sockets have joined away from this socket. Kernels without
/// the option deliver them.
void receive_only_own_groups(int descriptor, int level) noexcept {
    constexpr int ipv6_multicast_all = 29;  // of linux/in6.h, which excludes netinet/in.h
    const int off = 0;
    detail::sys::calls.setsockopt(descriptor, level,
                                  level == IPPROTO_IP ? IP_MULTICAST_ALL : ipv6_multicast_all, &off,
                                  sizeof off);
}

}  // namespace

void Socket::change_membership(bool joins, const MulticastGroup& group) {
    require_number(group.group, "the group");
    const detail::SockAddr address = detail::to_sockaddr(group.group);
    const auto index = group.interface.empty()
                           ? scope_of(address)
                           : static_cast<std::uint32_t>(interface_index(group.interface));
    // The level is that of the group: a socket on "::" joins IPv4 groups as well.
    const int level = group.group.family() == AddressFamily::inet ? IPPROTO_IP : IPPROTO_IPV6;
    if (joins) receive_only_own_groups(channel_.fd, level);
    int result = 0;
    if (group.source.empty()) {
        group_req request{};
        request.gr_interface = index;
        request.gr_group = address.storage;
        result = detail::sys::calls.setsockopt(channel_.fd, level,
                                               joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP,
                                               &request, sizeof request);
    } else {
        require_number(group.source, "the source");
        group_source_req request{};
        request.gsr_interface = index;
        request.gsr_group = address.storage;
        request.gsr_source = detail::to_sockaddr(group.source).storage;
        result = detail::sys::calls.setsockopt(
            channel_.fd, level, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP,
            &request, sizeof request);
    }
    if (result == 0) return;
    const int error = errno;
    throw std::system_error(error, std::system_category(),
                            (joins ? "join the group " : "leave the group ") + to_text(group));
}

void Socket::join_group(const MulticastGroup& group) { change_membership(true, group); }

void Socket::leave_group(const MulticastGroup& group) { change_membership(false, group); }

/// A socket on IPv6 has the options of both versions, because its clients may be of both.
void Socket::set_of_each_version(int value, int option4, int option6, const char* name) {
    if (getsockopt(SOL_SOCKET, SO_DOMAIN) == AF_INET6) {
        set_option(IPPROTO_IPV6, option6, &value, sizeof value, name);
    }
    set_option(IPPROTO_IP, option4, &value, sizeof value, name);
}

void Socket::set_multicast_interface(const std::string& interface) {
    const int index = interface_index(interface);
    if (getsockopt(SOL_SOCKET, SO_DOMAIN) == AF_INET6) {
        set_option(IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index, "IPV6_MULTICAST_IF");
    }
    ip_mreqn request{};
    request.imr_ifindex = index;
    set_option(IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request, "IP_MULTICAST_IF");
}

void Socket::set_multicast_ttl(int hops) {
    // The kernel would accept -1, which stands for its default.
    if (hops < 0) throw std::system_error(EINVAL, std::system_category(), "set IP_MULTICAST_TTL");
    set_of_each_version(hops, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, "IP_MULTICAST_TTL");
}

void Socket::set_multicast_loop(bool on) {
    set_of_each_version(on ? 1 : 0, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, "IP_MULTICAST_LOOP");
}

void Socket::set_broadcast(bool on) {
    const int value = on ? 1 : 0;
    set_option(SOL_SOCKET, SO_BROADCAST, &value, sizeof value, "SO_BROADCAST");
}

}  // namespace socketserver
