// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "socketserver/detail/export.hpp"

namespace socketserver {

class Address;

namespace detail {
struct AddressAccess;
struct SockAddr;
Address from_sockaddr(const SockAddr& address);
}  // namespace detail

/// What kind of address an Address holds. `AF_INET`, `AF_INET6` and `AF_UNIX` in Python.
enum class AddressFamily : std::uint8_t {
    none,       ///< no address: what an unbound Unix client has
    host_name,  ///< a name that resolve() has not looked up yet
    inet,       ///< IPv4
    inet6,      ///< IPv6
    unix_path,  ///< a Unix-domain socket, by path or by abstract name
};

/// The address of one end of a socket: host and port, or the path of a Unix-domain socket.
///
/// A value: copy it, compare it, print it with fmt, keep it in a map. No member touches the
/// network except resolve().
///
/// Thread safety: distinct objects are independent; one object may be read from several threads.
///
/// Mirrors the address tuples, and path strings, of Python's `socket`.
class SOCKETSERVER_EXPORT Address {
  public:
    /// No address.
    Address() = default;

    /// A host and a port. The host is an IPv4 or IPv6 number ("127.0.0.1", "::1", "fe80::1%eth0"),
    /// "" for every IPv4 interface, "::" for every interface of both versions, or a name, which is
    /// looked up when it is used. Port 0 lets the kernel pick one. `port` has 64 bits, so that a
    /// number that is too large for a port is refused rather than truncated.
    ///
    /// @throws std::system_error if the port is not within 0 to 65535, if the interface after '%'
    /// does not exist, or if there is a zero byte in the host.
    Address(std::string_view host, std::int64_t port);

    /// The path of a Unix-domain socket; "@name" (or Python's "\0name") is an abstract name.
    ///
    /// @throws std::system_error if the path is empty, longer than the kernel takes (107 bytes; an
    /// abstract name 108, with its '@'), or has a zero byte in it.
    Address(std::string path);  // NOLINT: implicit
    /// The same.
    Address(const char* path) : Address(std::string{path}) {}  // NOLINT: implicit
    /// The same.
    Address(std::string_view path) : Address(std::string{path}) {}  // NOLINT: implicit

    /// The address that a text names, as to_string() writes it and people type it:
    /// "127.0.0.1:80", "localhost:80", "[::1]:80", ":80" for every IPv4 interface, or the path of a
    /// Unix-domain socket. A text that contains a '/' or begins with '@' is taken for such a path.
    ///
    /// @throws std::system_error if the text has no port or an invalid one, and as the constructors
    /// do.
    static Address parse(std::string_view text);

    /// Which kind of address it is.
    AddressFamily family() const noexcept { return family_; }
    /// Whether this is no address, as after default construction.
    bool empty() const noexcept { return family_ == AddressFamily::none; }
    /// Whether this is the address of a Unix-domain socket.
    bool is_unix() const noexcept { return family_ == AddressFamily::unix_path; }
    /// Whether it has a host and a port: IPv4, IPv6 or a name.
    bool is_inet() const noexcept { return !empty() && !is_unix(); }

    /// The host as text, without the port: a number, or the name if it was not resolved. Empty for
    /// Unix addresses.
    std::string host() const;
    /// The port; 0 for Unix addresses.
    std::uint16_t port() const noexcept { return port_; }
    /// The path, or "@name" for an abstract name; empty for other addresses.
    const std::string& path() const noexcept;

    /// Whether the address lies in a network such as "10.0.0.0/8", "2001:db8::/32" or
    /// "127.0.0.1". An IPv4 client of a server on "::" counts as IPv4.
    ///
    /// @throws std::invalid_argument if `network` is not a network.
    bool in_network(std::string_view network) const;

    /// Returns every numeric address of a host name, IPv4 first, as Python's servers order them.
    /// Any other address is returned as it is. Blocks while the name is looked up.
    ///
    /// @throws std::system_error with resolver_category() if the name cannot be resolved.
    std::vector<Address> resolve() const;

    /// "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@name", or "(no address)".
    std::string to_string() const;

    friend bool operator==(const Address&, const Address&) = default;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 means a zero that the compiler writes
    friend std::strong_ordering operator<=>(const Address&, const Address&) = default;

  private:
    friend struct detail::AddressAccess;
    friend Address detail::from_sockaddr(const detail::SockAddr& address);

    // This is not a sockaddr_storage, because a server keeps one for each connection (56 bytes
    // instead of 128), and because that would need a header of the operating system.
    AddressFamily family_ = AddressFamily::none;
    std::uint16_t port_ = 0;
    std::uint32_t scope_ = 0;             // IPv6: the interface of a link-local address
    std::array<unsigned char, 16> ip_{};  // network order; IPv4 uses the first four
    std::string text_;                    // the path, or the host name
};

/// The port that a text names, for example an argument of the program. The text must be a decimal
/// number from 0 to 65535 and nothing else.
///
/// @throws std::system_error that names the text if it is no such number.
SOCKETSERVER_EXPORT std::uint16_t parse_port(std::string_view text);

}  // namespace socketserver

template <>
struct std::hash<socketserver::Address> {
    std::size_t operator()(const socketserver::Address& address) const {
        return std::hash<std::string>{}(address.to_string());
    }
};

/// fmt prints an Address as Address::to_string() does, with the format specifications of a string.
template <>
struct fmt::formatter<socketserver::Address> : fmt::formatter<fmt::string_view> {
    template <class Context>
    auto format(const socketserver::Address& address, Context& context) const {
        return fmt::formatter<fmt::string_view>::format(address.to_string(), context);
    }
};
