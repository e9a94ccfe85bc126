// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// An Address as the kernel takes it.
struct SockAddr {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// @pre `address` is numeric or a Unix path, not a name.
SockAddr to_sockaddr(const Address& address);
Address from_sockaddr(const SockAddr& address);

/// The number of a network interface, by its name or number; 0 if there is no such interface.
std::uint32_t find_interface(const std::string& name) noexcept;

/// 0.0.0.0 or ::, which stand for every address of this machine.
bool is_wildcard(const Address& address) noexcept;

/// AF_INET, AF_INET6 or AF_UNIX.
int domain_of(const Address& address);

/// Of a connection in this family.
constexpr ByteStream byte_stream_of(int domain) noexcept {
    return domain == AF_UNIX                         ? ByteStream::unix_domain
           : domain == AF_INET || domain == AF_INET6 ? ByteStream::tcp
                                                     : ByteStream::unknown;
}

using HostText = std::array<char, 64>;
/// Address::host() with the number of the interface, or the path; "(no address)" without one. Takes
/// no memory and no lock: for a signal handler. The view is valid as long as both.
SOCKETSERVER_EXPORT std::string_view host_text(const Address& address, HostText& text) noexcept;

}  // namespace socketserver::detail
