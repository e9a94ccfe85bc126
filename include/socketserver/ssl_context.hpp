// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "socketserver/detail/export.hpp"

struct ssl_ctx_st;

namespace socketserver {

/// The side of a connection that a context is for: `PROTOCOL_TLS_SERVER` and `PROTOCOL_TLS_CLIENT`
/// in Python.
enum class TLSPurpose : unsigned char { server, client };

/// The versions that a context may speak. Older ones are not offered.
// NOLINTNEXTLINE(readability-identifier-naming): Python's names
enum class TLSVersion : unsigned char { TLSv1_2, TLSv1_3 };

/// Whether the peer has to show a certificate: `CERT_NONE`, `CERT_OPTIONAL`, `CERT_REQUIRED`.
enum class VerifyMode : unsigned char {
    none,      ///< a server asks for none; a client takes any
    optional,  ///< a server asks for one; what is shown must be valid
    required,  ///< without a valid one there is no connection
};

/// Whether certificates of peers are looked up in the lists of revoked ones (CRLs):
/// `VERIFY_DEFAULT`, `VERIFY_CRL_CHECK_LEAF`, `VERIFY_CRL_CHECK_CHAIN`.
enum class VerifyFlags : unsigned char {
    none,             ///< no list is looked at
    crl_check_leaf,   ///< the peer's own; without a list of its authority it is refused
    crl_check_chain,  ///< the same for each certificate that leads to the authority
};

namespace detail {
class ContextState;
class TlsSession;
}  // namespace detail

/// The certificates, the keys and the rules by which connections are encrypted.
///
/// A copy is the same context, as a second name of an object is in Python. The settings are to be
/// made before the first connection uses the context, by one thread. After that only reload() and
/// set_ticket_keys() may be called, from any thread.
///
/// The defaults: TLS 1.2 and 1.3, the ciphers of OpenSSL at security level 2 (no RSA key below 2048
/// bits), no compression, no renegotiation, the client's choice among the ciphers, session tickets.
/// A client verifies its server, and that the server's certificate is for the name that it connects
/// to.
///
/// A program that uses it links `socketserver::tls`. Mirrors `ssl.SSLContext`.
class SOCKETSERVER_EXPORT SSLContext {
  public:
    /// @throws SSLError if OpenSSL has no memory for it.
    explicit SSLContext(TLSPurpose purpose);
    /// A copy is the same context.
    SSLContext(const SSLContext&) = default;
    /// Takes it over.
    SSLContext(SSLContext&&) noexcept = default;
    /// A copy is the same context.
    SSLContext& operator=(const SSLContext&) = default;
    /// Takes it over.
    SSLContext& operator=(SSLContext&&) noexcept = default;
    ~SSLContext();

    /// For which side it was made.
    TLSPurpose purpose() const noexcept;

    /// @name Certificates
    /// Each of these throws SSLError with the name of the file and what is wrong with it: it cannot
    /// be read, it holds no certificate or no key, the certificate has expired or is not valid yet,
    /// the key does not belong to it, the password is wrong or missing, the key is too weak. The
    /// context is then as it was before.
    /// @{

    /// Loads the certificate that this side shows to its peers: a PEM file with the certificate
    /// and, after it, those that lead to an authority; and a PEM file with the private key. Without
    /// `keyfile` the key is in `certfile` too. Load the key before the program gives up the right
    /// to read the file. Mirrors `SSLContext.load_cert_chain`.
    ///
    /// A second call replaces the certificate. To add a certificate for other names of the same
    /// server, use add_cert_chain().
    void load_cert_chain(const std::string& certfile, const std::string& keyfile = {},
                         const std::optional<std::string>& password = {});
    /// The same from memory, in PEM. Beyond Python.
    void load_cert_chain_from_memory(std::string_view certificates, std::string_view key,
                                     const std::optional<std::string>& password = {});
    /// A further certificate, for clients that ask for the server by `server_name` (SNI): a host
    /// name, or `*.example.org` for every name with one more label. An exact name comes before a
    /// wildcard. A client that asks for no name, or for another one, gets the certificate of
    /// load_cert_chain(). Beyond Python, where sni_callback is needed for this.
    void add_cert_chain(const std::string& server_name, const std::string& certfile,
                        const std::string& keyfile = {},
                        const std::optional<std::string>& password = {});
    /// The authorities that a peer's certificate must lead to: a PEM file, a folder as
    /// `openssl rehash` makes it, or both. Both may hold lists of revoked certificates (CRLs) too,
    /// for verify_flags(). A server tells its clients the authorities of the file. Mirrors
    /// `SSLContext.load_verify_locations`.
    void load_verify_locations(const std::string& cafile, const std::string& capath = {});
    /// The same from memory, in PEM: `cadata` in Python.
    void load_verify_locations_from_memory(std::string_view authorities);
    /// The authorities that the system trusts. Mirrors `SSLContext.load_default_certs`.
    void load_default_certs();

    /// Reads the files of load_cert_chain(), add_cert_chain() and load_verify_locations(), and what
    /// the system trusts, again. Handshakes that begin afterwards show what was read, and verify
    /// their peers by it; connections that are there go on. If anything is wrong, nothing has
    /// changed, and SSLError tells what. From any thread; not from a signal handler.
    ///
    /// A client that resumes a session is not verified again: set_ticket_keys() ends the sessions
    /// of those whose authority has gone, or who have been revoked. What was put into the store of
    /// native_handle() is not used after a reload, if authorities were loaded by this class.
    ///
    /// Processes that were forked after this context was made follow: each reads the files itself
    /// before its next handshake (workers of PreforkMixIn, whose parent calls this). One that
    /// cannot read them keeps what it has. Beyond Python.
    void reload();
    /// @}

    /// @name Rules
    /// @{

    /// The oldest version that is spoken: TLS 1.2 by default. Mirrors `SSLContext.minimum_version`.
    void minimum_version(TLSVersion version);
    /// The oldest version that is spoken.
    TLSVersion minimum_version() const;
    /// The newest version that is spoken: TLS 1.3 by default. Mirrors `SSLContext.maximum_version`.
    void maximum_version(TLSVersion version);
    /// The newest version that is spoken.
    TLSVersion maximum_version() const;
    /// The ciphers of TLS 1.2, as `openssl ciphers` writes them. Those of TLS 1.3 are fixed.
    /// Mirrors `SSLContext.set_ciphers`.
    void set_ciphers(const std::string& ciphers);
    /// The protocols that may be spoken above TLS, the preferred one first: `{"h2", "http/1.1"}`. A
    /// server whose client offers none of them goes on without one. Mirrors
    /// `SSLContext.set_alpn_protocols`.
    void set_alpn_protocols(const std::vector<std::string>& protocols);

    /// By default `none` for a server, `required` for a client.
    void verify_mode(VerifyMode mode);
    /// What verify_mode() was set to.
    VerifyMode verify_mode() const noexcept;
    /// Whether lists of revoked certificates are looked at, which load_verify_locations() has read.
    /// `none` by default. Mirrors `SSLContext.verify_flags`.
    void verify_flags(VerifyFlags flags);
    /// What verify_flags() was set to.
    VerifyFlags verify_flags() const noexcept;
    /// Whether a client demands that the server's certificate is for the name that it connects to.
    /// True by default; switched off by `verify_mode(VerifyMode::none)`.
    void check_hostname(bool on);
    /// What check_hostname() was set to.
    bool check_hostname() const noexcept;

    /// Called in a handshake, where the connection is served, with the name that the client asks
    /// for (empty if it asks for none). It may be called in several threads at once. Returns the
    /// context whose certificate is shown, or nothing: this one's. Only the certificate is taken
    /// from it. What it throws ends the handshake. It should not wait for long: the connection is
    /// locked meanwhile. Comes before the table of add_cert_chain(). Mirrors
    /// `SSLContext.sni_callback`.
    using SniCallback = std::function<std::optional<SSLContext>(std::string_view server_name)>;
    /// Sets it; an empty function takes it away.
    void sni_callback(SniCallback callback);

    /// An end of the stream that the peer did not announce is the end, and no SSLEOFError: for
    /// protocols that carry their length. False by default. Mirrors `suppress_ragged_eofs`.
    void suppress_ragged_eofs(bool on) noexcept;
    /// What suppress_ragged_eofs() was set to.
    bool suppress_ragged_eofs() const noexcept;

    /// The keys of session tickets, with which clients resume a session: each of 80 random bytes.
    /// New tickets are made with the first; those of the others are taken as well. Without a call
    /// the context makes its own, which processes that are forked later share. To rotate them, put
    /// a new one in front and let the last one go. From any thread; for this process and for those
    /// that were forked after the context was made, such as the workers of PreforkMixIn.
    ///
    /// @throws SSLError if there is none, one of another size, or more than most_ticket_keys.
    void set_ticket_keys(const std::vector<std::string>& keys);
    /// The bytes of a key of tickets.
    static constexpr std::size_t ticket_key_size = 80;
    /// How many keys of tickets a context takes.
    static constexpr std::size_t most_ticket_keys = 16;
    /// @}

    /// OpenSSL's `SSL_CTX*`, for what this class does not offer. The context owns it. Certificates
    /// that are set there are not used: those of this class are. For callbacks see
    /// TLSConnection::native_handle().
    ssl_ctx_st* native_handle() const noexcept;

  private:
    friend class detail::TlsSession;
    friend class detail::ContextState;

    std::shared_ptr<detail::ContextState> state_;
};

/// A context for clients that trusts the authorities of the system, or only those of `cafile`.
/// Mirrors `ssl.create_default_context`.
SOCKETSERVER_EXPORT SSLContext create_default_context(const std::string& cafile = {});

}  // namespace socketserver
