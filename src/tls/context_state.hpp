// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/shared_memory.hpp"
#include "os/shared_words.hpp"
#include "socketserver/ssl_context.hpp"
#include "tls/credentials.hpp"
#include "tls/openssl.hpp"

namespace socketserver::detail {

struct TicketKey {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> mac;
    std::array<unsigned char, 32> cipher;
};
static_assert(sizeof(TicketKey) == SSLContext::ticket_key_size);

/// What a context shares with the processes that are forked after it was made: how often it was
/// reloaded, and the keys of its session tickets.
class SharedWithChildren {
  public:
    using TicketKeys = std::vector<TicketKey>;

    /// @throws std::system_error if there is no memory.
    SharedWithChildren() = default;
    SharedWithChildren(const SharedWithChildren&) = delete;
    SharedWithChildren& operator=(const SharedWithChildren&) = delete;
    ~SharedWithChildren();

    std::atomic<std::uint64_t>& reloads() const noexcept { return memory_->reloads; }
    /// Grows with each write_keys(), in any of the processes. It is odd while one is under way.
    std::uint64_t keys_version() const noexcept { return memory_->keys.version(); }
    /// Returns their version.
    ///
    /// @pre at most SSLContext::most_ticket_keys.
    std::uint64_t write_keys(const TicketKeys& keys);
    /// Nothing while they are being written, or if a process died while it wrote them.
    std::optional<TicketKeys> read_keys(std::uint64_t& version) const;

  private:
    static constexpr std::size_t words_per_key = sizeof(TicketKey) / sizeof(std::uint64_t);
    struct Memory {
        std::atomic<std::uint64_t> reloads;
        SharedWords<SSLContext::most_ticket_keys * words_per_key> keys;
    };
    SharedMemory<Memory> memory_{"make an SSLContext"};
};

/// What the copies of an SSLContext share. A session holds it for as long as it lives, because
/// OpenSSL calls back with its address.
class ContextState {
  public:
    explicit ContextState(TLSPurpose purpose);
    ContextState(const ContextState&) = delete;
    ContextState& operator=(const ContextState&) = delete;
    ~ContextState();

    SSL_CTX* native() const noexcept { return context_.get(); }
    bool is_server() const noexcept { return purpose == TLSPurpose::server; }
    bool has_certificate() const { return table()->by_default != nullptr; }

    void load(CertificateSource source);
    void add(const std::string& server_name, CertificateSource source);
    void reload();
    void add_authorities(const std::vector<AuthoritySource>& added);
    void set_alpn_protocols(const std::vector<std::string>& protocols);
    void set_verify();
    void set_ticket_keys(const std::vector<std::string>& keys);
    /// For a session of a client: makes its server be verified by what was read last.
    void prepare_client(SSL* ssl);

    const TLSPurpose purpose;
    VerifyMode verify_mode;
    bool check_hostname;
    bool suppress_ragged_eofs = false;
    SSLContext::SniCallback sni_callback{};

  private:
    using Table = std::shared_ptr<const CredentialsTable>;
    using TicketKeys = std::shared_ptr<const SharedWithChildren::TicketKeys>;

    Table table() const;
    /// Puts a table in the place of the one that is there, unless that one was read later.
    void replace(Table table, std::uint64_t turn);
    Table read_all() const;
    /// If another process has called reload(): reads what it has read.
    void follow() noexcept;
    /// Those of the process that has set them last.
    TicketKeys ticket_keys();
    int choose_certificate(SSL* ssl);

    static int on_certificate(SSL* ssl, void* state);
    static int on_alpn(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                       const unsigned char* offered, unsigned offered_size, void* state);
    static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                         EVP_MAC_CTX* mac, int is_new);

    SslCtxPtr context_;
    std::string alpn_protocols_{};  // each with its length in front, as OpenSSL takes them
    CertificateSource source_{};
    bool has_source_ = false;
    std::vector<std::pair<std::string, CertificateSource>> named_sources_{};
    std::vector<AuthoritySource> authority_sources_{};

    // These two are copied and replaced under a lock.
    Table table_;
    TicketKeys ticket_keys_{};
    std::uint64_t table_turn_ = 0;

    std::atomic<std::uint64_t> last_turn_{0};
    SharedWithChildren shared_;
    std::atomic<std::uint64_t> seen_reloads_{0};  // by this process
    std::uint64_t seen_keys_ = 0;                 // under the lock
};

}  // namespace socketserver::detail
