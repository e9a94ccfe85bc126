// SPDX-License-Identifier: MIT
#include "tls/credentials.hpp"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

struct Password {
    const std::optional<std::string>& text;
    bool was_asked_for = false;
};

/// The password callback. It is always set, because otherwise OpenSSL would ask for the password at
/// the terminal.
int tell_password(char* buffer, int size, int /*is_for_writing*/, void* context) {
    auto& password = *static_cast<Password*>(context);
    password.was_asked_for = true;
    if (!password.text || password.text->size() > static_cast<std::size_t>(size)) return -1;
    return static_cast<int>(password.text->copy(buffer, password.text->size()));
}

BioPtr bio_of(std::string_view text) {
    BioPtr bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    if (!bio) throw_ssl_error("read PEM");
    return bio;
}

/// Whether reading PEM ended because there is no more of it.
bool is_end_of_pem() noexcept {
    const unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

std::string text_of_time(const ASN1_TIME* time) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    if (!bio || ASN1_TIME_print(bio.get(), time) != 1) return "?";
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

/// All objects of one kind in the text.
template <class Owned>
std::vector<Owned> read_all(std::string_view pem, auto read, const std::string& failure) {
    ERR_clear_error();
    const BioPtr bio = bio_of(pem);
    std::vector<Owned> found;
    // Neither kind has a password, but a file that holds something else may ask for one.
    const std::optional<std::string> none;
    Password password{none};
    while (auto* each = read(bio.get(), nullptr, tell_password, &password)) {
        found.emplace_back(each);
    }
    if (!is_end_of_pem()) throw_ssl_error(failure);
    ERR_clear_error();
    return found;
}

std::vector<X509Ptr> read_certificates(std::string_view pem, const std::string& name) {
    return read_all<X509Ptr>(pem, PEM_read_bio_X509_AUX, name + ": a certificate cannot be read");
}

std::vector<X509Ptr> parse_certificates(std::string_view pem, const std::string& name) {
    auto found = read_certificates(pem, name);
    if (found.empty()) throw SSLError(name + ": no certificate is in it");
    return found;
}

void require_valid_now(const X509* certificate, const std::string& name) {
    const ASN1_TIME* from = X509_get0_notBefore(certificate);
    const ASN1_TIME* until = X509_get0_notAfter(certificate);
    if (X509_cmp_current_time(until) < 0) {
        throw SSLError(name + ": the certificate expired at " + text_of_time(until),
                       {X509_V_ERR_CERT_HAS_EXPIRED, ssl_category()});
    }
    if (X509_cmp_current_time(from) > 0) {
        throw SSLError(name + ": the certificate is not valid before " + text_of_time(from),
                       {X509_V_ERR_CERT_NOT_YET_VALID, ssl_category()});
    }
}

}  // namespace

std::string read_file(const std::string& name) {
    const OpenSslUse::Pause pause;
    const int file = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    std::string text;
    ssize_t got = -1;
    int error = errno;
    if (file != -1) {
        std::array<char, 4096> piece{};
        do {
            got = ::read(file, piece.data(), piece.size());
            error = errno;
            if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
        } while (got > 0 || (got == -1 && error == EINTR));
        ::close(file);
    }
    if (got == -1) {
        const std::error_code code{error, std::system_category()};
        throw SSLError(name + ": " + code.message(), code);
    }
    return text;
}

PemContents parse_authorities(std::string_view pem, const std::string& name) {
    PemContents found{
        .certificates = read_certificates(pem, name),
        .revocation_lists = read_all<CrlPtr>(
            pem, PEM_read_bio_X509_CRL, name + ": a list of revoked certificates cannot be read")};
    if (found.certificates.empty() && found.revocation_lists.empty()) {
        throw SSLError(name + ": no certificate is in it");
    }
    return found;
}

std::string lower_case(std::string_view text) {
    std::string lower{text};
    // Host names are ASCII, so the conversion must not depend on the locale.
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char each) {
        return each >= 'A' && each <= 'Z' ? static_cast<char>(each - 'A' + 'a') : each;
    });
    return lower;
}

Credentials::Credentials(const CertificateSource& source, SSL_CTX* context)
    : chain_{sk_X509_new_null()} {
    if (chain_ == nullptr) throw_ssl_error("load a certificate");
    try {
        const bool in_memory = source.certfile.empty();
        const std::string cert_name = in_memory ? "the certificate in memory" : source.certfile;
        const std::string key_name = in_memory                ? "the key in memory"
                                     : source.keyfile.empty() ? source.certfile
                                                              : source.keyfile;
        read_certificates(in_memory ? source.certificates : read_file(cert_name), cert_name);
        std::string key = in_memory ? source.key : read_file(key_name);
        try {
            read_key(key, key_name, source.password);
        } catch (...) {
            OPENSSL_cleanse(key.data(), key.size());
            throw;
        }
        OPENSSL_cleanse(key.data(), key.size());
        require_valid_now(certificate_.get(), cert_name);
        if (X509_check_private_key(certificate_.get(), key_.get()) != 1) {
            ERR_clear_error();
            throw SSLError(key_name + ": the key does not belong to the certificate of " +
                           cert_name);
        }
        // This finds what OpenSSL would refuse in each handshake, such as a key that is too weak.
        const SslPtr trial{SSL_new(context)};
        if (!trial || !use_in(trial.get())) throw_ssl_error(cert_name);
    } catch (...) {
        sk_X509_pop_free(chain_, X509_free);
        throw;
    }
}

Credentials::~Credentials() { sk_X509_pop_free(chain_, X509_free); }

void Credentials::read_certificates(const std::string& pem, const std::string& name) {
    std::vector<X509Ptr> found = parse_certificates(pem, name);
    certificate_ = std::move(found.front());
    for (std::size_t i = 1; i < found.size(); ++i) {
        if (sk_X509_push(chain_, found[i].get()) == 0) throw_ssl_error(name);
        static_cast<void>(found[i].release());
    }
}

void Credentials::read_key(const std::string& pem, const std::string& name,
                           const std::optional<std::string>& password) {
    ERR_clear_error();
    const BioPtr bio = bio_of(pem);
    Password asked{password};
    key_.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, tell_password, &asked));
    if (key_) return;
    if (asked.was_asked_for) {
        const unsigned long error = take_error();
        throw SSLError(name + (password ? ": the password of the key is wrong"
                                        : ": the key has a password, and none was given"),
                       {ERR_GET_REASON(error), ssl_category()});
    }
    if (pem.find("PRIVATE KEY-----") == std::string::npos) {
        ERR_clear_error();
        throw SSLError(name + ": no private key is in it");
    }
    throw_ssl_error(name + ": the private key cannot be read");
}

bool Credentials::use_in(SSL* ssl) const noexcept {
    return SSL_use_cert_and_key(ssl, certificate_.get(), key_.get(), chain_, 1) == 1;
}

bool matches_server_name(std::string_view pattern, std::string_view server_name) noexcept {
    if (!pattern.starts_with("*.")) return pattern == server_name;
    const std::size_t dot = server_name.find('.');
    return dot != std::string_view::npos && dot > 0 && server_name.substr(dot) == pattern.substr(1);
}

const Credentials* CredentialsTable::find(std::string_view server_name) const noexcept {
    const Credentials* found = nullptr;
    if (!server_name.empty()) {
        for (const Named& each : named) {
            if (!matches_server_name(each.server_name, server_name)) continue;
            found = each.credentials.get();
            if (each.server_name == server_name) return found;  // before any wildcard
        }
    }
    return found != nullptr ? found : by_default.get();
}

}  // namespace socketserver::detail
