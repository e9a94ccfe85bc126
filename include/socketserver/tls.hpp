// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"
#include "socketserver/ssl_context.hpp"

struct ssl_st;

namespace socketserver {

class BufferedReader;

/// What a certificate says. Mirrors the dictionary of `SSLSocket.getpeercert`.
struct PeerCertificate {
    std::string subject{};      ///< as RFC 2253 writes it: "CN=alice,O=Example"
    std::string issuer{};       ///< the same
    std::string common_name{};  ///< of the subject; empty: it has none
    std::vector<std::string>
        names{};                  ///< `subjectAltName`: "DNS:localhost", "IP Address:127.0.0.1"
    std::string serial_number{};  ///< hexadecimal
    std::string fingerprint{};    ///< SHA-256 of the certificate, hexadecimal
    /// When it begins to be valid.
    std::chrono::system_clock::time_point not_before{};
    /// When it expires.
    std::chrono::system_clock::time_point not_after{};
};

/// What a handshake has come to. A view of a Socket, valid as long as that is neither moved nor
/// closed; to be used by the thread that receives or sends. Mirrors those methods of
/// `ssl.SSLSocket`.
class SOCKETSERVER_EXPORT TLSConnection {
  public:
    /// @throws SSLError if the socket does not speak TLS.
    explicit TLSConnection(Socket& socket);

    /// "TLSv1.3".
    std::string version() const;
    /// The name of the cipher: "TLS_AES_256_GCM_SHA384".
    std::string cipher() const;
    /// The protocol that both sides chose for what is above TLS; empty: none.
    std::string selected_alpn_protocol() const;
    /// The name that the client asked for (SNI); empty: none.
    std::string server_hostname() const;
    /// Whether the client resumed an earlier session.
    bool session_reused() const;
    /// What the peer has shown. Nothing: it has shown none. If the context verifies, it is valid.
    std::optional<PeerCertificate> getpeercert() const;
    /// OpenSSL's `SSL*`, for what this class does not offer. Nobody may use the socket meanwhile.
    ssl_st* native_handle() const noexcept;

  private:
    detail::TlsSession* session_;
};

/// Whether the socket speaks TLS, which is so from start_tls() on, also if the handshake failed.
SOCKETSERVER_EXPORT bool is_tls(Socket& socket) noexcept;

/// For how long a handshake may last, unless said otherwise.
inline constexpr std::chrono::seconds default_handshake_timeout{10};

/// From here on the connection speaks TLS: makes the handshake, within `handshake_timeout` and the
/// time of the socket. `server_hostname` says, for a client, whose certificate the server must
/// show; it is sent to the server as well (SNI).
///
/// After a failure the socket sends and receives nothing more.
///
/// @throws HandshakeError; SSLError if it speaks TLS already, or a client is given no name although
///         the context checks it; Cancelled.
///
/// Mirrors `SSLContext.wrap_socket`.
SOCKETSERVER_EXPORT void start_tls(
    Socket& socket, const SSLContext& context, const std::string& server_hostname = {},
    std::chrono::nanoseconds handshake_timeout = default_handshake_timeout);
/// The same in a handler whose protocol begins without TLS (STARTTLS), after it has answered that
/// the client may begin: `start_tls(connection(), rfile(), context)`. What the writer of the socket
/// holds back is sent first. Refuses a client that has sent more than its command: who stands
/// between could have put it there, and it would count as sent by TLS.
///
/// @throws SSLError if anything is left in `rfile`.
SOCKETSERVER_EXPORT void start_tls(
    Socket& socket, const BufferedReader& rfile, const SSLContext& context,
    std::chrono::nanoseconds handshake_timeout = default_handshake_timeout);

/// Connects to a server that speaks TLS. `server_hostname` is the name in its certificate; empty:
/// the host of the address. `timeout` is the socket's, and bounds the handshake as well.
///
/// @throws std::system_error, TimeoutError as the other create_connection(); HandshakeError.
SOCKETSERVER_EXPORT Socket create_connection(const Address& address, const SSLContext& context,
                                             std::optional<std::chrono::nanoseconds> timeout = {},
                                             const std::string& server_hostname = {});

namespace detail {
/// The handshake of a server failed after all: nothing more passes.
SOCKETSERVER_EXPORT void refuse_tls(Socket& socket);
}  // namespace detail

}  // namespace socketserver
