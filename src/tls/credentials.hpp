// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/authorities.hpp"
#include "tls/openssl.hpp"

namespace socketserver::detail {

/// Where a certificate and its key come from: files, or memory.
struct CertificateSource {
    std::string certfile{};  ///< empty: memory
    std::string keyfile{};   ///< empty: the same as certfile
    std::string certificates{};
    std::string key{};
    std::optional<std::string> password{};
};

/// A certificate with its key and the chain to an authority. It is immutable, so threads can share
/// it.
class Credentials {
  public:
    /// Reads and checks them, by the rules of `context`.
    ///
    /// @throws SSLError naming the file and what is wrong with it.
    Credentials(const CertificateSource& source, SSL_CTX* context);
    Credentials(const Credentials&) = delete;
    Credentials& operator=(const Credentials&) = delete;
    ~Credentials();

    /// Makes `ssl` show them. If that fails, returns false and leaves OpenSSL's error.
    bool use_in(SSL* ssl) const noexcept;

  private:
    void read_certificates(const std::string& pem, const std::string& name);
    void read_key(const std::string& pem, const std::string& name,
                  const std::optional<std::string>& password);

    X509Ptr certificate_;
    KeyPtr key_;
    STACK_OF(X509) * chain_;
};

/// Whether `server_name` is the name of a table's entry: the same, or one label below its wildcard.
/// Both in lower case.
bool matches_server_name(std::string_view pattern, std::string_view server_name) noexcept;

/// Which certificate a context shows to which client, and the authorities by which it verifies its
/// peers. It is immutable; reload() makes another one.
struct CredentialsTable {
    std::shared_ptr<const Credentials> by_default{};
    struct Named {
        std::string server_name;
        std::shared_ptr<const Credentials> credentials;
    };
    std::vector<Named> named{};
    /// Null until the first reload(); the authorities are then those of the SSL_CTX.
    std::shared_ptr<const Authorities> authorities{};

    /// The credentials for this name, or null if there are none.
    const Credentials* find(std::string_view server_name) const noexcept;
};

/// @throws SSLError naming the file.
std::string read_file(const std::string& name);
struct PemContents {
    std::vector<X509Ptr> certificates{};
    std::vector<CrlPtr> revocation_lists{};
};
/// All certificates and all lists of revoked ones in the text, of which there is at least one.
///
/// @throws SSLError naming the source.
PemContents parse_authorities(std::string_view pem, const std::string& name);
std::string lower_case(std::string_view text);

}  // namespace socketserver::detail
