// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tls/openssl.hpp"

namespace socketserver::detail {

/// Where authorities, and the lists of what they have revoked, come from.
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

/// What certificates of peers are verified by. Immutable as soon as it is in use: threads share it.
class Authorities {
  public:
    /// Those that are in force at `context`, to add to them.
    explicit Authorities(SSL_CTX* context);
    /// Reads all sources, by the rules of `context`.
    ///
    /// @throws SSLError naming the file and what is wrong with it.
    Authorities(const std::vector<AuthoritySource>& sources, SSL_CTX* context);

    /// @throws SSLError. Nothing has been added then, unless there was no memory.
    void add(const AuthoritySource& source);

    /// The subjects of those that a server may name to its clients.
    const std::vector<X509Ptr>& named() const noexcept { return named_; }

    /// Makes the peer of `ssl` be verified by these. False, with OpenSSL's error, if there is no
    /// memory.
    bool use_in(SSL* ssl) const noexcept;

  private:
    StorePtr store_;
    std::vector<X509Ptr> named_{};
};

}  // namespace socketserver::detail
