// SPDX-License-Identifier: MIT
// A network of its own for a test, where it may have any address.
#pragma once

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace socketserver::tests {

/// Puts the calling process, which has one thread, into a network namespace of its own whose only
/// interface, lo, is up. False where the system does not allow it.
inline bool enter_network_namespace() {
    const unsigned user = ::getuid();
    if (::unshare(CLONE_NEWNET) == -1) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1) return false;
        std::ofstream{"/proc/self/setgroups"} << "deny";
        std::ofstream{"/proc/self/uid_map"} << "0 " << user << " 1";
    }
    const int descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq lo{};
    std::strcpy(lo.ifr_name, "lo");
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool is_up = ::ioctl(descriptor, SIOCSIFFLAGS, &lo) == 0;
    ::close(descriptor);
    return is_up;
}

/// Gives lo an IPv6 address more. Only in a namespace of one's own.
inline void add_to_lo(const char* address, unsigned prefix = 128) {
    const int descriptor = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    in6_ifreq request{};
    ::inet_pton(AF_INET6, address, &request.ifr6_addr);
    request.ifr6_prefixlen = prefix;
    request.ifr6_ifindex = static_cast<int>(::if_nametoindex("lo"));
    const int result = ::ioctl(descriptor, SIOCSIFADDR, &request);
    const int error = errno;
    ::close(descriptor);
    if (result == -1) throw std::system_error(error, std::system_category(), address);
}

/// Makes an interface "net0" that has an IPv4 address, may be sent groups by, and leads nowhere.
/// Only in a namespace of one's own; false where there are no such interfaces.
inline bool add_interface(const char* address) {
    const int tun = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);  // it lives as long as the process
    if (tun == -1) return false;
    ifreq net0{};
    std::strcpy(net0.ifr_name, "net0");
    net0.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (::ioctl(tun, TUNSETIFF, &net0) == -1) return false;
    const int descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    auto& in = reinterpret_cast<sockaddr_in&>(net0.ifr_addr);
    in = {};
    in.sin_family = AF_INET;
    ::inet_pton(AF_INET, address, &in.sin_addr);
    const bool has_address = ::ioctl(descriptor, SIOCSIFADDR, &net0) == 0;
    net0.ifr_flags = IFF_UP | IFF_RUNNING | IFF_MULTICAST | IFF_NOARP;
    const bool is_up = ::ioctl(descriptor, SIOCSIFFLAGS, &net0) == 0;
    ::close(descriptor);
    return has_address && is_up;
}

/// Whether an interface has IPv6 addresses and all of them may be used: the kernel gives it its
/// own, and settles each, some time after it is up.
inline bool has_ipv6_addresses(const std::string& interface) {
    std::ifstream table{"/proc/self/net/if_inet6"};
    std::string address;
    std::string index;
    std::string prefix;
    std::string scope;
    std::string flags;
    std::string name;
    constexpr unsigned long tentative = 0x40;
    bool has_one = false;
    while (table >> address >> index >> prefix >> scope >> flags >> name) {
        if (name != interface) continue;
        if ((std::stoul(flags, nullptr, 16) & tentative) != 0) return false;
        has_one = true;
    }
    return has_one;
}

}  // namespace socketserver::tests
