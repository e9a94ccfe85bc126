// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tls/openssl.hpp"

namespace socketserver::detail {

/// The source of authorities, and of their lists of revoked certificates.
struct AuthoritySource {
    enum class Kind : unsigned char {
        file,
        folder,
        memory,
        system,  ///< what OpenSSL is configured to trust
    };
    Kind kind;
    std::string text{};  ///< the name of the file or of the folder, or PEM
};

/// The authorities by which the certificates of peers are verified. It is immutable as soon as it
/// is in use, so threads can share it.
class Authorities {
  public:
    /// Begins with the authorities of `context`. add() adds others.
    explicit Authorities(SSL_CTX* context);
    /// Reads all sources, by the rules of `context`.
    ///
    /// @throws SSLError naming the file and what is wrong with it.
    Authorities(const std::vector<AuthoritySource>& sources, SSL_CTX* context);

    /// @throws SSLError; nothing has been added then, except if there was no memory.
    void add(const AuthoritySource& source);

    /// The subjects of those that a server may name to its clients.
    const std::vector<X509Ptr>& named() const noexcept { return named_; }

    /// Verifies the peer of `ssl` by these authorities. If there is no memory, returns false and
    /// leaves OpenSSL's error.
    bool use_in(SSL* ssl) const noexcept;

  private:
    StorePtr store_;
    std::vector<X509Ptr> named_{};
};

}  // namespace socketserver::detail
