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
/// The PROXY protocol, versions 1 and 2: a proxy or a balancer that connects for a client begins
/// the connection with a header that says for whom. Servers read it if they are told to
/// (`ServerOptions::proxy_protocol`); handlers then see the client's address, and by proxy_header()
/// what else the header says. Beyond Python.
namespace socketserver {

class Socket;

/// What a header of version 2 carries beside the addresses: a type, and bytes whose meaning the
/// type says.
struct ProxyTLV {
    /// What the value means; the PROXY protocol has the list.
    std::uint8_t type = 0;
    /// Its bytes, as they came.
    std::string value{};

    friend bool operator==(const ProxyTLV&, const ProxyTLV&) = default;
};

/// What a proxy that speaks TLS with the client says of that (`PP2_TYPE_SSL`). Texts that it does
/// not say are empty.
struct ProxySSL {
    bool is_encrypted = false;     ///< the client speaks TLS
    bool has_certificate = false;  ///< the client showed a certificate in this connection
    bool had_certificate = false;  ///< the same, in the TLS session that this connection may resume
    bool is_verified = false;      ///< the proxy has verified that certificate
    /// Of TLS, as the proxy writes it.
    std::string version{};
    std::string common_name{};  ///< of the certificate
    /// As the proxy writes it.
    std::string cipher{};
    std::string signature_algorithm{};  ///< of the certificate that the proxy shows
    std::string key_algorithm{};        ///< the same
};

/// A header of the PROXY protocol.
struct SOCKETSERVER_EXPORT ProxyHeader {
    int version = 0;  ///< 1 or 2
    /// The proxy connects for itself, to see whether the server answers (`LOCAL`).
    bool is_local = false;
    /// The client. Empty if the proxy does not say: `LOCAL`, `UNKNOWN`, a client that is not
    /// reached by TCP, UDP or a Unix socket, or a Unix socket without a name.
    Address source{};
    /// Where the client connected to. Empty as `source` is.
    Address destination{};
    /// The other end of this connection, which sent the header. Empty from parse_proxy_header().
    Address proxy{};
    /// In the order of the header; of version 1 there are none.
    std::vector<ProxyTLV> tlvs{};

    /// @name What is said by TLVs
    /// Nothing if the header does not say it. Views are valid as long as the header.
    /// @{

    /// The first one of a type.
    std::optional<std::string_view> tlv(std::uint8_t type) const noexcept;
    /// The protocol that the client and the proxy have agreed on, for example "h2".
    std::optional<std::string_view> alpn() const noexcept;
    /// The host that the client asked for (SNI).
    std::optional<std::string_view> authority() const noexcept;
    /// What the proxy calls this connection, in its logs say; at most 128 bytes.
    std::optional<std::string_view> unique_id() const noexcept;
    /// What the proxy says of its TLS with the client.
    std::optional<ProxySSL> ssl() const;
    /// @}
};

/// How long a header of version 1 may be, its line end included. The protocol says so.
inline constexpr std::size_t longest_proxy_line = 107;
/// How long a header of version 2 may be, its first 16 bytes included. The protocol allows more; a
/// header of addresses and texts has some hundred bytes.
inline constexpr std::size_t longest_proxy_header = 4096;

/// Reads the header at the beginning of `data`: the header, and how many bytes it has. Nothing if
/// more bytes are needed: then all of `data` belongs to the header. Servers do this themselves.
///
/// @throws ProxyHeaderError if `data` does not begin with a header.
SOCKETSERVER_EXPORT std::optional<std::pair<ProxyHeader, std::size_t>> parse_proxy_header(
    std::string_view data);

/// The header with which the connection of a request began; null if its server did not read one.
/// Valid until the request has ended, or its socket was moved away.
SOCKETSERVER_EXPORT const ProxyHeader* proxy_header(Socket& request) noexcept;

}  // namespace socketserver
