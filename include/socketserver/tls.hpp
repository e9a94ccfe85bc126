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

/// The content of a certificate. Mirrors the dictionary of `SSLSocket.getpeercert`.
struct PeerCertificate {
    std::string subject{};      ///< as RFC 2253 writes it: "CN=alice,O=Example"
    std::string issuer{};       ///< the same
    std::string common_name{};  ///< of the subject; empty if it has none
    std::vector<std::string>
        names{};                  ///< `subjectAltName`: "DNS:localhost", "IP Address:127.0.0.1"
    std::string serial_number{};  ///< hexadecimal
    std::string fingerprint{};    ///< SHA-256 of the certificate, hexadecimal
    /// When it begins to be valid.
    std::chrono::system_clock::time_point not_before{};
    /// When it expires.
    std::chrono::system_clock::time_point not_after{};
};

/// The result of a handshake. It is a view of a Socket, valid until the socket is moved or closed.
/// Mirrors the methods of `ssl.SSLSocket` with the same names.
///
/// Thread safety: to be used by the thread or fiber that receives from or sends to the socket.
class SOCKETSERVER_EXPORT TLSConnection {
  public:
    /// @throws SSLError if the socket does not speak TLS.
    explicit TLSConnection(Socket& socket);

    /// "TLSv1.3".
    std::string version() const;
    /// The name of the cipher: "TLS_AES_256_GCM_SHA384".
    std::string cipher() const;
    /// The protocol above TLS on which both sides agreed; empty if there is none.
    std::string selected_alpn_protocol() const;
    /// The name that the client asked for (SNI); empty if it asked for none.
    std::string server_hostname() const;
    /// Whether the client resumed an earlier session.
    bool session_reused() const;
    /// The certificate of the peer, or nothing if the peer has shown none. If the context verifies
    /// certificates, it is valid.
    std::optional<PeerCertificate> getpeercert() const;
    /// OpenSSL's `SSL*`, for functions that this class does not offer. While it is used, nobody
    /// else may use the socket. Callbacks that are set here, or in the context's `SSL_CTX*`, must
    /// not wait for anything once the handshake is over: in a fiber they run on a stack of its
    /// thread.
    ssl_st* native_handle() const noexcept;

  private:
    detail::TlsSession* session_;
};

/// Whether the socket speaks TLS. It does so from start_tls() on, also if the handshake failed.
SOCKETSERVER_EXPORT bool is_tls(Socket& socket) noexcept;

/// How long a handshake may last by default.
inline constexpr std::chrono::seconds default_handshake_timeout{10};

/// Makes the TLS handshake, within `handshake_timeout` and the timeout of the socket. The
/// connection speaks TLS from then on. For a client, `server_hostname` is the name for which the
/// server's certificate must be valid; it is sent to the server as well (SNI). May be called by the
/// thread or fiber that owns the socket.
///
/// After a failure the socket can neither send nor receive.
///
/// @throws HandshakeError; SSLError if it speaks TLS already, or a client is given no name although
///         the context checks it; Cancelled.
///
/// Mirrors `SSLContext.wrap_socket`.
SOCKETSERVER_EXPORT void start_tls(
    Socket& socket, const SSLContext& context, const std::string& server_hostname = {},
    std::chrono::nanoseconds handshake_timeout = default_handshake_timeout);
/// The same in a handler whose protocol begins without TLS (STARTTLS), to be called after the
/// handler has answered that the client may begin: `start_tls(connection(), rfile(), context)`.
/// Output that the writer of the socket holds back is sent first. A client that has sent more than
/// its command is refused, because an attacker between the two could have inserted those bytes,
/// which would then be taken for bytes that the client sent by TLS.
///
/// @throws SSLError if anything is left in `rfile`.
SOCKETSERVER_EXPORT void start_tls(
    Socket& socket, const BufferedReader& rfile, const SSLContext& context,
    std::chrono::nanoseconds handshake_timeout = default_handshake_timeout);

/// Connects to a server that speaks TLS. `server_hostname` is the name in its certificate; if it is
/// empty, the host of the address is used. `timeout` becomes the timeout of the socket, and limits
/// the handshake as well.
///
/// @throws std::system_error, TimeoutError as the other create_connection(); HandshakeError.
SOCKETSERVER_EXPORT Socket create_connection(const Address& address, const SSLContext& context,
                                             std::optional<std::chrono::nanoseconds> timeout = {},
                                             const std::string& server_hostname = {});

namespace detail {
/// Ends the connection although its handshake was successful: nothing is sent or received any more.
SOCKETSERVER_EXPORT void refuse_tls(Socket& socket);
}  // namespace detail

}  // namespace socketserver
