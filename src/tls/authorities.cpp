// SPDX-License-Identifier: MIT
#include "tls/authorities.hpp"

#include <openssl/pem.h>

#include <utility>

#include "socketserver/errors.hpp"
#include "tls/credentials.hpp"

namespace socketserver::detail {

Authorities::Authorities(SSL_CTX* context) : store_{SSL_CTX_get_cert_store(context)} {
    X509_STORE_up_ref(store_.get());
}

Authorities::Authorities(const std::vector<AuthoritySource>& sources, SSL_CTX* context)
    : store_{X509_STORE_new()} {
    if (!store_ || X509_STORE_set1_param(
                       store_.get(), X509_STORE_get0_param(SSL_CTX_get_cert_store(context))) != 1) {
        throw_ssl_error("read the authorities");
    }
    for (const AuthoritySource& each : sources) add(each);
}

void Authorities::add(const AuthoritySource& source) {
    using Kind = AuthoritySource::Kind;
    X509_STORE* const store = store_.get();
    if (source.kind == Kind::folder) {
        if (X509_STORE_load_path(store, source.text.c_str()) != 1) throw_ssl_error(source.text);
        return;
    }
    if (source.kind == Kind::system) {
        if (X509_STORE_set_default_paths(store) != 1) throw_ssl_error("load_default_certs");
        return;
    }
    const bool is_file = source.kind == Kind::file;
    const std::string name = is_file ? source.text : "the authorities in memory";
    PemContents found = parse_authorities(is_file ? read_file(name) : source.text, name);
    named_.reserve(named_.size() + found.certificates.size());
    for (X509Ptr& each : found.certificates) {
        if (X509_STORE_add_cert(store, each.get()) != 1) throw_ssl_error(name);
        named_.push_back(std::move(each));
    }
    for (const CrlPtr& each : found.revocation_lists) {
        if (X509_STORE_add_crl(store, each.get()) != 1) throw_ssl_error(name);
    }
}

bool Authorities::use_in(SSL* ssl) const noexcept {
    // The macros of OpenSSL without their casts. The store is counted there.
    if (SSL_ctrl(ssl, SSL_CTRL_SET_VERIFY_CERT_STORE, 1, store_.get()) != 1 ||
        SSL_ctrl(ssl, SSL_CTRL_SET_CHAIN_CERT_STORE, 1, store_.get()) != 1) {
        return false;
    }
    if (SSL_is_server(ssl) == 0) return true;
    STACK_OF(X509_NAME)* const names = sk_X509_NAME_new_null();
    SSL_set_client_CA_list(ssl, names);  // which owns it now
    if (names == nullptr) return false;
    for (const X509Ptr& each : named_) {
        if (SSL_add_client_CA(ssl, each.get()) != 1) return false;
    }
    return true;
}

}  // namespace socketserver::detail
