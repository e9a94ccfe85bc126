// SPDX-License-Identifier: MIT
#include "socketserver/ssl_context.hpp"

#include <utility>

#include "socketserver/errors.hpp"
#include "tls/context_state.hpp"

namespace socketserver {

using detail::AuthoritySource;
using detail::OpenSslUse;
using detail::throw_ssl_error;

namespace {

int number_of(TLSVersion version) {
    return version == TLSVersion::TLSv1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

constexpr unsigned long crl_flags = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;

unsigned long flags_of(VerifyFlags flags) {
    switch (flags) {
        case VerifyFlags::crl_check_leaf:
            return X509_V_FLAG_CRL_CHECK;
        case VerifyFlags::crl_check_chain:
            return crl_flags;
        default:
            return 0;
    }
}

}  // namespace

SSLContext::SSLContext(TLSPurpose purpose)
    : state_{[&] {
          const OpenSslUse use;
          return std::make_shared<detail::ContextState>(purpose);
      }()} {}
SSLContext::~SSLContext() = default;

TLSPurpose SSLContext::purpose() const noexcept { return state_->purpose; }
ssl_ctx_st* SSLContext::native_handle() const noexcept { return state_->native(); }

void SSLContext::load_cert_chain(const std::string& certfile, const std::string& keyfile,
                                 const std::optional<std::string>& password) {
    const OpenSslUse use;
    if (certfile.empty()) throw SSLError("load_cert_chain: the name of the file is empty");
    state_->load({.certfile = certfile, .keyfile = keyfile, .password = password});
}

void SSLContext::load_cert_chain_from_memory(std::string_view certificates, std::string_view key,
                                             const std::optional<std::string>& password) {
    const OpenSslUse use;
    state_->load(
        {.certificates = std::string{certificates}, .key = std::string{key}, .password = password});
}

void SSLContext::add_cert_chain(const std::string& server_name, const std::string& certfile,
                                const std::string& keyfile,
                                const std::optional<std::string>& password) {
    const OpenSslUse use;
    if (certfile.empty()) throw SSLError("add_cert_chain: the name of the file is empty");
    if (server_name.empty()) throw SSLError("add_cert_chain: the name of the server is empty");
    state_->add(server_name, {.certfile = certfile, .keyfile = keyfile, .password = password});
}

void SSLContext::load_verify_locations(const std::string& cafile, const std::string& capath) {
    const OpenSslUse use;
    if (cafile.empty() && capath.empty()) {
        throw SSLError("load_verify_locations: neither a file nor a folder is named");
    }
    std::vector<AuthoritySource> sources;
    if (!cafile.empty()) sources.push_back({AuthoritySource::Kind::file, cafile});
    if (!capath.empty()) sources.push_back({AuthoritySource::Kind::folder, capath});
    state_->add_authorities(sources);
}

void SSLContext::load_verify_locations_from_memory(std::string_view authorities) {
    const OpenSslUse use;
    state_->add_authorities({{AuthoritySource::Kind::memory, std::string{authorities}}});
}

void SSLContext::load_default_certs() {
    const OpenSslUse use;
    state_->add_authorities({{AuthoritySource::Kind::system}});
}

void SSLContext::reload() {
    const OpenSslUse use;
    state_->reload();
}

void SSLContext::minimum_version(TLSVersion version) {
    const OpenSslUse use;
    if (SSL_CTX_set_min_proto_version(native_handle(), number_of(version)) != 1) {
        throw_ssl_error("minimum_version");
    }
}

TLSVersion SSLContext::minimum_version() const {
    return SSL_CTX_get_min_proto_version(native_handle()) == TLS1_3_VERSION ? TLSVersion::TLSv1_3
                                                                            : TLSVersion::TLSv1_2;
}

void SSLContext::maximum_version(TLSVersion version) {
    const OpenSslUse use;
    if (SSL_CTX_set_max_proto_version(native_handle(), number_of(version)) != 1) {
        throw_ssl_error("maximum_version");
    }
}

TLSVersion SSLContext::maximum_version() const {
    return SSL_CTX_get_max_proto_version(native_handle()) == TLS1_2_VERSION ? TLSVersion::TLSv1_2
                                                                            : TLSVersion::TLSv1_3;
}

void SSLContext::set_ciphers(const std::string& ciphers) {
    const OpenSslUse use;
    if (SSL_CTX_set_cipher_list(native_handle(), ciphers.c_str()) != 1) {
        throw_ssl_error("set_ciphers " + ciphers);
    }
}

void SSLContext::set_alpn_protocols(const std::vector<std::string>& protocols) {
    const OpenSslUse use;
    state_->set_alpn_protocols(protocols);
}

void SSLContext::verify_mode(VerifyMode mode) {
    const OpenSslUse use;
    state_->verify_mode = mode;
    if (mode == VerifyMode::none) state_->check_hostname = false;
    state_->set_verify();
}
VerifyMode SSLContext::verify_mode() const noexcept { return state_->verify_mode; }

void SSLContext::verify_flags(VerifyFlags flags) {
    const OpenSslUse use;
    X509_VERIFY_PARAM* const rules = SSL_CTX_get0_param(native_handle());
    X509_VERIFY_PARAM_clear_flags(rules, crl_flags);
    if (X509_VERIFY_PARAM_set_flags(rules, flags_of(flags)) != 1) throw_ssl_error("verify_flags");
}

VerifyFlags SSLContext::verify_flags() const noexcept {
    const unsigned long flags =
        X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(native_handle())) & crl_flags;
    if (flags == crl_flags) return VerifyFlags::crl_check_chain;
    return flags == 0 ? VerifyFlags::none : VerifyFlags::crl_check_leaf;
}

void SSLContext::check_hostname(bool on) {
    if (on && state_->verify_mode == VerifyMode::none) verify_mode(VerifyMode::required);
    state_->check_hostname = on;
}
bool SSLContext::check_hostname() const noexcept { return state_->check_hostname; }

void SSLContext::sni_callback(SniCallback callback) { state_->sni_callback = std::move(callback); }

void SSLContext::suppress_ragged_eofs(bool on) noexcept { state_->suppress_ragged_eofs = on; }
bool SSLContext::suppress_ragged_eofs() const noexcept { return state_->suppress_ragged_eofs; }

void SSLContext::set_ticket_keys(const std::vector<std::string>& keys) {
    const OpenSslUse use;
    state_->set_ticket_keys(keys);
}

SSLContext create_default_context(const std::string& cafile) {
    SSLContext context{TLSPurpose::client};
    if (cafile.empty()) {
        context.load_default_certs();
    } else {
        context.load_verify_locations(cafile);
    }
    return context;
}

}  // namespace socketserver
