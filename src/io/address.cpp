// SPDX-License-Identifier: MIT
#include "socketserver/address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "io/sockaddr.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"

namespace socketserver {

namespace {

using Ip = std::array<unsigned char, 16>;

/// A path has a zero behind it, an abstract name one in front.
constexpr std::size_t name_limit = sizeof(sockaddr_un::sun_path);
constexpr std::size_t path_limit = name_limit - 1;
constexpr std::array<unsigned char, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const Ip& ip) {
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), ip.begin());
}

/// The C library ends a text at its first zero byte, and would use another host, or file, than the
/// text seems to name.
void refuse_zero(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) {
        throw std::system_error(EINVAL, std::system_category(),
                                "an address with a zero byte in it");
    }
}

std::uint16_t valid_port(std::string_view host, std::int64_t port) {
    if (std::in_range<std::uint16_t>(port)) return static_cast<std::uint16_t>(port);
    throw std::system_error(EINVAL, std::system_category(),
                            "address " + std::string{host} + ": port " + std::to_string(port) +
                                " is not within 0 to 65535");
}

std::uint32_t interface_index(const std::string& host, std::size_t percent) {
    const std::string name = host.substr(percent + 1);
    const std::uint32_t index = detail::find_interface(name);
    if (index == 0) {
        throw std::system_error(ENODEV, std::system_category(),
                                "address " + host + ": there is no network interface \"" + name +
                                    "\" (`ip link` lists them)");
    }
    return index;
}

}  // namespace

namespace detail {

struct AddressAccess {
    static Address from_unix(const sockaddr_un& un, socklen_t size) {
        constexpr std::size_t header = offsetof(sockaddr_un, sun_path);
        if (size <= header) return {};
        std::string path(un.sun_path, std::min<std::size_t>(size, sizeof un) - header);
        // A path is counted with its terminating zero; an abstract name may contain zeros.
        if (path.front() != '\0') path.resize(std::strlen(path.c_str()));
        // Not through the constructor: a peer may use all 108 bytes, which is no error of ours.
        Address address;
        address.family_ = AddressFamily::unix_path;
        if (path.front() == '\0') path.front() = '@';
        address.text_ = std::move(path);
        return address;
    }
    static void to(const Address& address, sockaddr_in& in) {
        in.sin_family = AF_INET;
        in.sin_port = htons(address.port_);
        std::memcpy(&in.sin_addr, address.ip_.data(), 4);
    }
    static void to(const Address& address, sockaddr_in6& in6) {
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(address.port_);
        in6.sin6_scope_id = address.scope_;
        std::memcpy(&in6.sin6_addr, address.ip_.data(), 16);
    }
    static const Ip& ip(const Address& address) { return address.ip_; }
    static std::string_view host(const Address& address, HostText& text) noexcept {
        if (address.empty()) return "(no address)";
        if (!address.text_.empty()) return address.text_;
        ::inet_ntop(domain_of(address), address.ip_.data(), text.data(), INET6_ADDRSTRLEN);
        char* end = text.data() + std::strlen(text.data());
        if (address.scope_ != 0) {
            *end++ = '%';
            end = std::to_chars(end, text.data() + text.size(), address.scope_).ptr;
        }
        return {text.data(), static_cast<std::size_t>(end - text.data())};
    }
};

std::string_view host_text(const Address& address, HostText& text) noexcept {
    return AddressAccess::host(address, text);
}

std::uint32_t find_interface(const std::string& name) noexcept {
    unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0) {
        const char* last = name.data() + name.size();
        if (std::from_chars(name.data(), last, index).ptr != last) index = 0;
    }
    return index;
}

bool is_wildcard(const Address& address) noexcept {
    return address.family() != AddressFamily::host_name && address.is_inet() &&
           AddressAccess::ip(address) == Ip{};
}

Address from_sockaddr(const SockAddr& address) {
    Address result;
    if (address.storage.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(address.storage);
        result.family_ = AddressFamily::inet;
        std::memcpy(result.ip_.data(), &in.sin_addr, sizeof in.sin_addr);
        result.port_ = ntohs(in.sin_port);
    } else if (address.storage.ss_family == AF_INET6) {
        const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
        result.family_ = AddressFamily::inet6;
        std::memcpy(result.ip_.data(), &in6.sin6_addr, sizeof in6.sin6_addr);
        result.port_ = ntohs(in6.sin6_port);
        result.scope_ = in6.sin6_scope_id;
    } else if (address.storage.ss_family == AF_UNIX) {
        return AddressAccess::from_unix(reinterpret_cast<const sockaddr_un&>(address.storage),
                                        address.size);
    }
    return result;
}

SockAddr to_sockaddr(const Address& address) {
    SockAddr result;
    switch (address.family()) {
        case AddressFamily::inet:
            AddressAccess::to(address, reinterpret_cast<sockaddr_in&>(result.storage));
            result.size = sizeof(sockaddr_in);
            return result;
        case AddressFamily::inet6:
            AddressAccess::to(address, reinterpret_cast<sockaddr_in6&>(result.storage));
            result.size = sizeof(sockaddr_in6);
            return result;
        case AddressFamily::unix_path: {
            auto& un = reinterpret_cast<sockaddr_un&>(result.storage);
            const std::string& path = address.path();
            const bool abstract = path.front() == '@';
            un.sun_family = AF_UNIX;
            std::memcpy(un.sun_path, path.data(), path.size());
            if (abstract) un.sun_path[0] = '\0';
            // An abstract name ends where its size says, a path where its zero stands.
            // That of a peer may have no room for it.
            result.size = static_cast<socklen_t>(std::min(
                sizeof un, offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1)));
            return result;
        }
        case AddressFamily::none:
        case AddressFamily::host_name:
            break;
    }
    throw std::system_error(EAFNOSUPPORT, std::system_category(),
                            "address " + address.to_string() + " has no numeric form");
}

int domain_of(const Address& address) {
    switch (address.family()) {
        case AddressFamily::inet:
            return AF_INET;
        case AddressFamily::inet6:
            return AF_INET6;
        case AddressFamily::unix_path:
            return AF_UNIX;
        case AddressFamily::none:
        case AddressFamily::host_name:
            break;
    }
    return AF_UNSPEC;
}

}  // namespace detail

Address::Address(std::string_view host, std::int64_t port) : port_{valid_port(host, port)} {
    refuse_zero(host);
    if (host.empty()) {
        family_ = AddressFamily::inet;  // all zero is INADDR_ANY
        return;
    }
    const std::string text{host};
    if (::inet_pton(AF_INET, text.c_str(), ip_.data()) == 1) {
        family_ = AddressFamily::inet;
        return;
    }
    const std::size_t percent = text.find('%');
    if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), ip_.data()) == 1) {
        family_ = AddressFamily::inet6;
        if (percent != std::string::npos) scope_ = interface_index(text, percent);
        return;
    }
    family_ = AddressFamily::host_name;
    text_ = text;
}

Address::Address(std::string path) : family_{AddressFamily::unix_path}, text_{std::move(path)} {
    if (!text_.empty() && text_.front() == '\0') text_.front() = '@';
    if (text_.empty()) {
        throw std::system_error(EINVAL, std::system_category(),
                                "a Unix socket needs a path, or \"@name\" for an abstract one");
    }
    const std::size_t limit = text_.front() == '@' ? name_limit : path_limit;
    if (text_.size() > limit) {
        throw std::system_error(ENAMETOOLONG, std::system_category(),
                                "Unix socket path of " + std::to_string(text_.size()) +
                                    " bytes (at most " + std::to_string(limit) +
                                    " fit: use a shorter folder, or an abstract name): " + text_);
    }
    if (text_.front() != '@') refuse_zero(text_);
}

std::string Address::host() const {
    if (family_ == AddressFamily::host_name) return text_;
    if (!is_inet()) return {};
    char text[INET6_ADDRSTRLEN];
    const int domain = detail::domain_of(*this);
    std::string host = ::inet_ntop(domain, ip_.data(), text, sizeof text);
    if (scope_ != 0) {
        char name[IF_NAMESIZE];
        const bool known = ::if_indextoname(scope_, name) != nullptr;
        host += '%' + (known ? std::string{name} : std::to_string(scope_));
    }
    return host;
}

const std::string& Address::path() const noexcept {
    static const std::string none;
    return is_unix() ? text_ : none;
}

bool Address::in_network(std::string_view network) const {
    const std::size_t slash = network.find('/');
    const std::string_view number = network.substr(0, slash);
    const Address base{number, 0};
    if (number.empty() || !base.is_inet() || base.family_ == AddressFamily::host_name) {
        throw std::invalid_argument("not a network: \"" + std::string{network} + '"');
    }
    const bool v4 = base.family_ == AddressFamily::inet;
    const unsigned width = v4 ? 32 : 128;
    unsigned bits = width;
    if (slash != std::string_view::npos) {
        const char* last = network.data() + network.size();
        const auto [end, error] = std::from_chars(network.data() + slash + 1, last, bits);
        if (error != std::errc{} || end != last || bits > width) {
            throw std::invalid_argument("not a network: \"" + std::string{network} + '"');
        }
    }
    Ip mine = ip_;
    if (v4 && family_ == AddressFamily::inet6 && is_mapped(ip_)) {
        std::copy_n(ip_.begin() + 12, 4, mine.begin());
    } else if (family_ != base.family_) {
        return false;
    }
    for (unsigned bit = 0; bit < bits; bit += 8) {
        const unsigned left = std::min(8U, bits - bit);
        const auto mask = static_cast<unsigned char>(0xffU << (8 - left));
        if (((mine[bit / 8] ^ base.ip_[bit / 8]) & mask) != 0) return false;
    }
    return true;
}

std::vector<Address> Address::resolve() const {
    if (family_ != AddressFamily::host_name) return {*this};
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;  // else each address comes once for each socket type
    addrinfo* found = nullptr;
    int error = 0;
    int system_error = 0;
    detail::run_blocking([&] {
        error = ::getaddrinfo(text_.c_str(), nullptr, &hints, &found);
        system_error = errno;  // of the thread that looked
    });
    // A minimal system or container has no /etc/hosts, but this name always means the loopback
    // interface (RFC 6761).
    if (error != 0 && text_ == "localhost") return {Address{"127.0.0.1", port_}};
    if (error != 0) {
        const bool system = error == EAI_SYSTEM;
        throw std::system_error(system ? system_error : error,
                                system ? std::system_category() : resolver_category(),
                                "resolve \"" + text_ + "\" (is the host name spelled right?)");
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, ::freeaddrinfo};
    std::vector<Address> result;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        detail::SockAddr raw;
        std::memcpy(&raw.storage, each->ai_addr, each->ai_addrlen);
        raw.size = each->ai_addrlen;
        Address address = detail::from_sockaddr(raw);
        address.port_ = port_;
        result.push_back(std::move(address));
    }
    std::stable_partition(result.begin(), result.end(), [](const Address& address) {
        return address.family() == AddressFamily::inet;
    });
    return result;
}

std::string Address::to_string() const {
    switch (family_) {
        case AddressFamily::none:
            return "(no address)";
        case AddressFamily::unix_path:
            return text_;
        case AddressFamily::inet6:
            return '[' + host() + "]:" + std::to_string(port_);
        case AddressFamily::inet:
        case AddressFamily::host_name:
            break;
    }
    return host() + ':' + std::to_string(port_);
}

}  // namespace socketserver
