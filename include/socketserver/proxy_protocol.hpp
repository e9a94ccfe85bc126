// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

/// @file
/// The PROXY protocol, versions 1 and 2: a proxy or a load balancer that connects on behalf of a
/// client begins the connection with a header that names the client. A server reads the header if
/// its options say so (`ServerOptions::proxy_protocol`). Handlers then see the client's address,
/// and proxy_header() returns the rest of the header. Beyond Python.
namespace socketserver {

class Socket;

/// What a header of version 2 carries beside the addresses: a type, and bytes whose meaning depends
/// on the type.
struct ProxyTLV {
    /// What the value means; the PROXY protocol has the list.
    std::uint8_t type = 0;
    /// Its bytes, as they came.
    std::string value{};

    friend bool operator==(const ProxyTLV&, const ProxyTLV&) = default;
};

/// What a proxy says about its TLS connection with the client (`PP2_TYPE_SSL`). Texts that the
/// header does not contain are empty.
struct ProxySSL {
    bool is_encrypted = false;     ///< the client speaks TLS
    bool has_certificate = false;  ///< the client showed a certificate in this connection
    bool had_certificate = false;  ///< the same, in the TLS session that this connection may resume
    bool is_verified = false;      ///< the proxy has verified that certificate
    /// The version of TLS, as the proxy writes it.
    std::string version{};
    std::string common_name{};  ///< of the certificate
    /// The cipher, as the proxy writes it.
    std::string cipher{};
    std::string signature_algorithm{};  ///< of the certificate that the proxy shows
    std::string key_algorithm{};        ///< the same
};

/// A header of the PROXY protocol.
struct SOCKETSERVER_EXPORT ProxyHeader {
    int version = 0;  ///< 1 or 2
    /// Whether the proxy connects for itself, for example to see whether the server answers
    /// (`LOCAL`).
    bool is_local = false;
    /// The address of the client. Empty if the header does not name one: `LOCAL`, `UNKNOWN`, a
    /// client on another protocol than TCP, UDP or a Unix socket, or a Unix socket without a name.
    Address source{};
    /// The address to which the client connected. Empty in the same cases as `source`.
    Address destination{};
    /// The address of the peer that sent the header. parse_proxy_header() leaves it empty.
    Address proxy{};
    /// The TLVs, in the order of the header. A header of version 1 has none.
    std::vector<ProxyTLV> tlvs{};

    /// @name What is said by TLVs
    /// These functions return nothing if the header does not contain the TLV. Views are valid as
    /// long as the header exists.
    /// @{

    /// The first one of a type.
    std::optional<std::string_view> tlv(std::uint8_t type) const noexcept;
    /// The protocol that the client and the proxy have agreed on, for example "h2".
    std::optional<std::string_view> alpn() const noexcept;
    /// The host that the client asked for (SNI).
    std::optional<std::string_view> authority() const noexcept;
    /// The name that the proxy gives to this connection, for example in its logs; at most 128
    /// bytes.
    std::optional<std::string_view> unique_id() const noexcept;
    /// What the proxy says about its TLS connection with the client.
    std::optional<ProxySSL> ssl() const;
    /// @}
};

/// How long a header of version 1 may be, in bytes, its line end included. The protocol sets this
/// limit.
inline constexpr std::size_t longest_proxy_line = 107;
/// How long a header of version 2 may be, in bytes, its first 16 bytes included. The protocol
/// allows more, but a header of addresses and texts has a few hundred bytes.
inline constexpr std::size_t longest_proxy_header = 4096;

/// Parses the header at the beginning of `data`. Returns the header and its length in bytes, or
/// nothing if more bytes are needed; all of `data` belongs to the header then. Servers call this
/// function themselves. May be called from any thread.
///
/// @throws ProxyHeaderError if `data` does not begin with a header.
SOCKETSERVER_EXPORT std::optional<std::pair<ProxyHeader, std::size_t>> parse_proxy_header(
    std::string_view data);

/// The header with which the connection of a request began, or null if the server did not read one.
/// Valid until the request has ended, or until its socket is moved away. To be called where the
/// request is served.
SOCKETSERVER_EXPORT const ProxyHeader* proxy_header(Socket& request) noexcept;

}  // namespace socketserver
