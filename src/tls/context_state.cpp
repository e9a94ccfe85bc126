// SPDX-License-Identifier: MIT
#include "tls/context_state.hpp"

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

/// Guards what every context copies and replaces. One for all, and never held for long; only within
/// an OpenSslUse, so that no child is forked while it is taken.
constinit std::mutex mutex;

constexpr std::string_view session_id_context = "socketserver";

}  // namespace

SharedWithChildren::~SharedWithChildren() {
    auto& words = memory_->keys.storage();
    OPENSSL_cleanse(words.data(), sizeof words);
}

std::uint64_t SharedWithChildren::write_keys(const TicketKeys& keys) {
    std::vector<std::uint64_t> words(keys.size() * words_per_key);
    std::memcpy(words.data(), keys.data(), keys.size() * sizeof(TicketKey));
    const std::uint64_t version = memory_->keys.write(words);
    OPENSSL_cleanse(words.data(), words.size() * sizeof(std::uint64_t));
    return version;
}

std::optional<SharedWithChildren::TicketKeys> SharedWithChildren::read_keys(
    std::uint64_t& version) const {
    auto words = memory_->keys.read(version);
    if (!words || words->empty()) return {};
    TicketKeys keys(words->size() / words_per_key);
    std::memcpy(keys.data(), words->data(), keys.size() * sizeof(TicketKey));
    OPENSSL_cleanse(words->data(), words->size() * sizeof(std::uint64_t));
    return keys;
}

ContextState::ContextState(TLSPurpose for_purpose)
    : purpose{for_purpose},
      verify_mode{for_purpose == TLSPurpose::client ? VerifyMode::required : VerifyMode::none},
      check_hostname{for_purpose == TLSPurpose::client},
      context_{SSL_CTX_new(for_purpose == TLSPurpose::server ? TLS_server_method()
                                                             : TLS_client_method())},
      table_{std::make_shared<const CredentialsTable>()} {
    SSL_CTX* const context = context_.get();
    if (context == nullptr) throw_ssl_error("make an SSLContext");
    // The configuration file of the system may allow older versions.
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        throw_ssl_error("make an SSLContext");
    }
    SSL_CTX_set_security_level(context, std::max(SSL_CTX_get_security_level(context), 2));
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_clear_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_app_data(context, this);
    SSL_CTX_set_cert_cb(context, on_certificate, this);
    set_verify();
    if (!is_server()) return;
    // Clients keep their sessions themselves, in tickets: a cache here would be each process's own.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(
        context, reinterpret_cast<const unsigned char*>(session_id_context.data()),
        static_cast<unsigned>(session_id_context.size()));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    std::string first(SSLContext::ticket_key_size, '\0');
    if (RAND_bytes(reinterpret_cast<unsigned char*>(first.data()),
                   static_cast<int>(first.size())) != 1) {
        throw_ssl_error("make a key for session tickets");
    }
    set_ticket_keys({first});
}

ContextState::~ContextState() {
    const OpenSslUse use;
    table_.reset();
    context_.reset();
}

ContextState::Table ContextState::table() const {
    const std::lock_guard lock{mutex};
    return table_;
}

void ContextState::replace(Table table, std::uint64_t turn) {
    const std::lock_guard lock{mutex};
    if (turn < table_turn_) return;
    table_turn_ = turn;
    table_.swap(table);
}

void ContextState::load(CertificateSource source) {
    auto changed = std::make_shared<CredentialsTable>(*table());
    changed->by_default = std::make_shared<const Credentials>(source, native());
    source_ = std::move(source);
    has_source_ = true;
    replace(std::move(changed), ++last_turn_);
}

void ContextState::add(const std::string& server_name, CertificateSource source) {
    auto changed = std::make_shared<CredentialsTable>(*table());
    auto credentials = std::make_shared<const Credentials>(source, native());
    const std::string name = lower_case(server_name);
    std::erase_if(changed->named, [&](const auto& each) { return each.server_name == name; });
    std::erase_if(named_sources_, [&](const auto& each) { return each.first == name; });
    changed->named.push_back({name, std::move(credentials)});
    named_sources_.emplace_back(name, std::move(source));
    replace(std::move(changed), ++last_turn_);
}

ContextState::Table ContextState::read_all() const {
    auto read = std::make_shared<CredentialsTable>();
    if (has_source_) read->by_default = std::make_shared<const Credentials>(source_, native());
    for (const auto& [name, source] : named_sources_) {
        read->named.push_back({name, std::make_shared<const Credentials>(source, native())});
    }
    if (!authority_sources_.empty()) {
        read->authorities = std::make_shared<const Authorities>(authority_sources_, native());
    }
    return read;
}

void ContextState::reload() {
    const std::uint64_t turn = ++last_turn_;
    replace(read_all(), turn);
    seen_reloads_ = ++shared_.reloads();
}

void ContextState::follow() noexcept {
    std::uint64_t seen = seen_reloads_.load();
    const std::uint64_t made = shared_.reloads().load();
    // One thread reads the files. The others go on with the current table.
    if (seen == made || !seen_reloads_.compare_exchange_strong(seen, made)) return;
    try {
        const std::uint64_t turn = ++last_turn_;
        replace(read_all(), turn);
    } catch (const std::exception&) {
        // Files that this process cannot read (any more): what was read before stays in force, as
        // reload() promises. The caller of reload() has been told what is wrong with the files.
        ERR_clear_error();
    }
}

int ContextState::choose_certificate(SSL* ssl) {
    follow();
    const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const std::string name = asked == nullptr || !is_server() ? "" : lower_case(asked);
    std::optional<SSLContext> other;
    if (sni_callback && is_server()) {
        const OpenSslUse::Pause pause;
        other = sni_callback(name);
    }
    if (other) other->state_->follow();
    const Table own = this->table();
    if (own->authorities && is_server() && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
        !own->authorities->use_in(ssl)) {
        return 0;
    }
    const Table table = other ? other->state_->table() : own;
    const Credentials* const credentials = table->find(other ? std::string_view{} : name);
    if (credentials == nullptr) return 1;  // only a client may have no certificate
    return credentials->use_in(ssl) ? 1 : 0;
}

int ContextState::on_certificate(SSL* ssl, void* state) {
    try {
        return static_cast<ContextState*>(state)->choose_certificate(ssl);
    } catch (...) {
        rethrow_forced_unwind();
        return 0;  // an exception of sni_callback, or no memory: the handshake fails
    }
}

void ContextState::add_authorities(const std::vector<AuthoritySource>& added) {
    Authorities authorities{native()};
    for (const AuthoritySource& each : added) authorities.add(each);
    for (const X509Ptr& each : authorities.named()) {
        if (is_server() && SSL_CTX_add_client_CA(native(), each.get()) != 1) {
            throw_ssl_error("load_verify_locations");
        }
    }
    authority_sources_.insert(authority_sources_.end(), added.begin(), added.end());
    if (!table()->authorities) return;
    auto changed = std::make_shared<CredentialsTable>(*table());
    changed->authorities = std::make_shared<const Authorities>(authority_sources_, native());
    replace(std::move(changed), ++last_turn_);
}

void ContextState::prepare_client(SSL* ssl) {
    follow();
    const Table table = this->table();
    if (table->authorities && !table->authorities->use_in(ssl)) {
        throw_ssl_error("make a TLS session");
    }
}

void ContextState::set_alpn_protocols(const std::vector<std::string>& protocols) {
    std::string encoded;
    for (const std::string& each : protocols) {
        if (each.empty() || each.size() > 255) {
            throw SSLError("set_alpn_protocols: a name has 1 to 255 bytes");
        }
        encoded += static_cast<char>(each.size());
        encoded += each;
    }
    if (!is_server()) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(encoded.data());
        if (SSL_CTX_set_alpn_protos(native(), bytes, static_cast<unsigned>(encoded.size())) != 0) {
            throw_ssl_error("set_alpn_protocols");
        }
        return;
    }
    alpn_protocols_ = std::move(encoded);
    SSL_CTX_set_alpn_select_cb(native(), alpn_protocols_.empty() ? nullptr : on_alpn, this);
}

int ContextState::on_alpn(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
                          const unsigned char* offered, unsigned offered_size, void* state) {
    const std::string& own = static_cast<ContextState*>(state)->alpn_protocols_;
    unsigned char* found = nullptr;
    const int result = SSL_select_next_proto(
        &found, chosen_size, reinterpret_cast<const unsigned char*>(own.data()),
        static_cast<unsigned>(own.size()), offered, offered_size);
    *chosen = found;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

void ContextState::set_verify() {
    int mode = SSL_VERIFY_NONE;
    if (verify_mode != VerifyMode::none) mode = SSL_VERIFY_PEER;
    if (verify_mode == VerifyMode::required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(native(), mode, nullptr);
}

void ContextState::set_ticket_keys(const std::vector<std::string>& keys) {
    if (keys.empty()) throw SSLError("set_ticket_keys: there is no key");
    if (keys.size() > SSLContext::most_ticket_keys) {
        throw SSLError("set_ticket_keys: at most 16 keys");
    }
    auto made = std::make_shared<SharedWithChildren::TicketKeys>(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i].size() != sizeof(TicketKey)) {
            throw SSLError("set_ticket_keys: a key has 80 bytes");
        }
        std::memcpy(&(*made)[i], keys[i].data(), sizeof(TicketKey));
    }
    TicketKeys replaced = std::move(made);
    const std::lock_guard lock{mutex};
    // Not the version that is there afterwards, which another process may have written.
    seen_keys_ = shared_.write_keys(*replaced);
    ticket_keys_.swap(replaced);
}

ContextState::TicketKeys ContextState::ticket_keys() {
    const std::lock_guard lock{mutex};
    if (seen_keys_ == shared_.keys_version()) return ticket_keys_;
    std::uint64_t version = 0;
    if (auto read = shared_.read_keys(version)) {
        ticket_keys_ = std::make_shared<const SharedWithChildren::TicketKeys>(*std::move(read));
        seen_keys_ = version;
    }
    return ticket_keys_;
}

int ContextState::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv,
                            EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int is_new) {
    auto* state = static_cast<ContextState*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    TicketKeys keys;
    try {
        keys = state->ticket_keys();
    } catch (const std::bad_alloc&) {
        return -1;  // ends the handshake
    }
    const TicketKey* key = &keys->front();
    if (is_new != 0) {
        std::copy(key->name.begin(), key->name.end(), name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
    } else {
        const auto found = std::find_if(keys->begin(), keys->end(), [&](const TicketKey& each) {
            return std::equal(each.name.begin(), each.name.end(), name);
        });
        if (found == keys->end()) return 0;  // a full handshake
        key = &*found;
    }
    std::array<OSSL_PARAM, 3> parameters{
        OSSL_PARAM_construct_octet_string(
            OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key->mac.data()), key->mac.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
        OSSL_PARAM_construct_end()};
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv, is_new) !=
            1 ||
        EVP_MAC_CTX_set_params(mac, parameters.data()) != 1) {
        return -1;
    }
    return is_new != 0 || key == &keys->front() ? 1 : 2;  // 2: the client gets a newer one
}

}  // namespace socketserver::detail
