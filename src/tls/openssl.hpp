// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

// OpenSSL's objects as owned pointers, and its errors as text.
namespace socketserver::detail {

template <auto function>
struct Freeing {
    template <class T>
    void operator()(T* object) const noexcept {
        function(object);
    }
};

using BioPtr = std::unique_ptr<BIO, Freeing<BIO_free>>;
using SslPtr = std::unique_ptr<SSL, Freeing<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, Freeing<SSL_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Freeing<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, Freeing<X509_CRL_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Freeing<X509_STORE_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freeing<EVP_PKEY_free>>;

/// While an object exists, the calling thread may be inside OpenSSL, and no thread of the process
/// forks. OpenSSL has locks of its own, and a child that is forked while one is held would wait for
/// it for ever. The calling thread must not wait meanwhile. Objects may be nested.
class OpenSslUse {
  public:
    OpenSslUse() noexcept;
    OpenSslUse(const OpenSslUse&) = delete;
    OpenSslUse& operator=(const OpenSslUse&) = delete;
    ~OpenSslUse();

    /// Suspends the OpenSslUse while OpenSSL calls code of the user, which may do anything.
    class Pause {
      public:
        Pause() noexcept;
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
        ~Pause();

      private:
        int depth_;
    };
};

/// Clears the error queue of the calling thread. Returns the number of the first error, which is
/// the one nearest to the cause, or 0 if there was none.
unsigned long take_error() noexcept;
/// What OpenSSL calls the error.
std::string reason_of(unsigned long error);

/// Throws SSLError of the calling thread's OpenSSL error.
[[noreturn]] void throw_ssl_error(const std::string& what_failed);

}  // namespace socketserver::detail
