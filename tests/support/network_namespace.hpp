// SPDX-License-Identifier: MIT
// A network of its own for a test, where it may have any address.
#pragma once

#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
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

}  // namespace socketserver::tests
