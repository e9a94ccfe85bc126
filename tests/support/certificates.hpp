// SPDX-License-Identifier: MIT
// Certificates for tests, made when they run. No child is forked while OpenSSL works on one: its
// locks would be held in the child for ever.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/close_on_fork.hpp"
#include "support/connected_sockets.hpp"

namespace socketserver::tests {

using NoFork = detail::CloseOnFork::NoFork;

/// A certificate and its key.
struct Certificate {
    std::shared_ptr<X509> x509;
    std::shared_ptr<EVP_PKEY> key;
};

struct CertificateWish {
    std::string common_name = "localhost";
    std::string names = "DNS:localhost,IP:127.0.0.1";  // subjectAltName; empty: none
    long valid_from = -3600;                           // seconds from now
    long valid_until = 24 * 3600;
    unsigned rsa_bits = 0;  // 0: an elliptic curve
    bool is_authority = false;
};

namespace of_certificates {

inline void require(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(std::string{"openssl: "} + what);
}

inline void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    require(extension != nullptr, "extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

inline std::string text_in(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text{data, static_cast<std::size_t>(size)};
    BIO_free(bio);
    return text;
}

}  // namespace of_certificates

/// Makes a certificate that `issuer` signs, or the certificate itself if there is none.
inline Certificate make_certificate(const CertificateWish& wish = {},
                                    const Certificate* issuer = nullptr) {
    using namespace of_certificates;
    static long serial = 0;
    const NoFork no_fork;
    Certificate made;
    made.key.reset(wish.rsa_bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(wish.rsa_bits),
                   EVP_PKEY_free);
    made.x509.reset(X509_new(), X509_free);
    require(made.key && made.x509, "a key");
    X509* const x509 = made.x509.get();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), wish.valid_from);
    X509_gmtime_adj(X509_getm_notAfter(x509), wish.valid_until);
    X509_NAME* const name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.common_name.c_str()), -1,
                               -1, 0);
    X509* const signer = issuer == nullptr ? x509 : issuer->x509.get();
    X509_set_issuer_name(x509, X509_get_subject_name(signer));
    X509_set_pubkey(x509, made.key.get());
    add_extension(x509, signer, NID_basic_constraints,
                  wish.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(x509, signer, NID_subject_key_identifier, "hash");
    if (!wish.is_authority && !wish.names.empty()) {
        add_extension(x509, signer, NID_subject_alt_name, wish.names);
    }
    EVP_PKEY* const signing = issuer == nullptr ? made.key.get() : issuer->key.get();
    require(X509_sign(x509, signing, EVP_sha256()) != 0, "sign");
    return made;
}

inline Certificate make_authority(const std::string& common_name = "test authority") {
    return make_certificate({.common_name = common_name, .names = {}, .is_authority = true});
}

/// In PEM: which certificates of `issuer` are not to be trusted any more.
inline std::string make_revocation_list(const Certificate& issuer,
                                        const std::vector<Certificate>& revoked) {
    using namespace of_certificates;
    const NoFork no_fork;
    const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> list{X509_CRL_new(), X509_CRL_free};
    const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> time{X509_gmtime_adj(nullptr, -60),
                                                                     ASN1_TIME_free};
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.x509.get()));
    X509_CRL_set1_lastUpdate(list.get(), time.get());
    for (const Certificate& each : revoked) {
        X509_REVOKED* const entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(each.x509.get()));
        X509_REVOKED_set_revocationDate(entry, time.get());
        require(X509_CRL_add0_revoked(list.get(), entry) == 1, "revoke");
    }
    X509_gmtime_adj(time.get(), 3600);
    X509_CRL_set1_nextUpdate(list.get(), time.get());
    require(X509_CRL_sign(list.get(), issuer.key.get(), EVP_sha256()) != 0, "sign a list");
    BIO* const bio = BIO_new(BIO_s_mem());
    require(PEM_write_bio_X509_CRL(bio, list.get()) == 1, "write a list");
    return text_in(bio);
}

inline std::string pem_of(const Certificate& certificate) {
    const NoFork no_fork;
    BIO* const bio = BIO_new(BIO_s_mem());
    of_certificates::require(PEM_write_bio_X509(bio, certificate.x509.get()) == 1, "write");
    return of_certificates::text_in(bio);
}

inline std::string key_pem_of(const Certificate& certificate, const std::string& password = {}) {
    const NoFork no_fork;
    BIO* const bio = BIO_new(BIO_s_mem());
    const int written = PEM_write_bio_PKCS8PrivateKey(
        bio, certificate.key.get(), password.empty() ? nullptr : EVP_aes_128_cbc(),
        password.empty() ? nullptr : password.data(), static_cast<int>(password.size()), nullptr,
        nullptr);
    of_certificates::require(written == 1, "write a key");
    return of_certificates::text_in(bio);
}

inline std::string write_file(const std::string& path, const std::string& text) {
    std::ofstream{path} << text;
    return path;
}

}  // namespace socketserver::tests
