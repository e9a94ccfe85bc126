// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "socketserver/detail/io/byte_filter.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/ssl_context.hpp"
#include "tls/context_state.hpp"
#include "tls/openssl.hpp"

namespace socketserver::detail {

/// One connection's TLS.
///
/// OpenSSL allows only one call at a time for one connection, but a Socket lets one thread receive
/// while another sends. So each call is made under a lock, and none of them waits for the network.
/// OpenSSL reads the bytes that were received before. Its output is sent without waiting, or held
/// back until the caller has waited with the lock released. A thread that receives never waits for
/// output, and a thread that sends never waits for input. So two sides that both send much do not
/// block each other, unless neither of them receives.
class TlsSession final : public ByteFilter {
  public:
    /// @param server_hostname for a client: whose certificate the server must show.
    /// @throws SSLError
    TlsSession(const SSLContext& context, const std::string& server_hostname);
    ~TlsSession() override;

    const void* kind() const noexcept override { return &own_kind; }
    /// @throws HandshakeError; Cancelled. The session is of no use then, and lets nothing through.
    void handshake(Channel& channel, TimePoint until);

    std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size, bool may_wait) override;
    std::ptrdiff_t send(Channel& channel, std::string_view data) override;
    bool has_pending() const noexcept override;
    bool look(Channel& channel) override;
    void shutdown(Channel& channel) noexcept override;
    void throw_error(int error, std::string_view operation) override;

    /// Ends the session after a successful handshake: nothing is sent or received any more.
    void refuse(Channel& channel);

    SSL* native() const noexcept { return ssl_.get(); }
    const std::string& server_hostname() const noexcept { return server_hostname_; }
    bool is_established() const noexcept { return is_established_; }

    /// Each call of OpenSSL for this connection is made while such an object exists. It holds the
    /// lock.
    class Use {
      public:
        explicit Use(const TlsSession& session) : lock_{session.mutex_} {}

      private:
        OpenSslUse use_;
        std::lock_guard<std::mutex> lock_;
    };

    /// The filter as a TlsSession, or null if it is another kind of filter.
    static TlsSession* from(ByteFilter* filter) noexcept {
        const bool is_one = filter != nullptr && filter->kind() == &own_kind;
        return is_one ? static_cast<TlsSession*>(filter) : nullptr;
    }

  private:
    enum class Step : unsigned char { done, needs_input, failed };

    /// SSL_read_ex or SSL_peek_ex.
    using Read = int (*)(SSL* ssl, void* data, std::size_t size, std::size_t* got);
    std::ptrdiff_t receive(Channel& channel, Read read, std::span<char> buffer, bool may_wait);
    // These functions are called under the lock.
    Step step_handshake(Channel& channel);
    Step read_record(Channel& channel, Read read, std::span<char> buffer, std::size_t& got);
    void flush() noexcept;
    void end_output() noexcept;
    void keep_rest();
    bool has_output() const noexcept { return !output_.empty(); }
    void note_failure();

    /// A record of the largest size, with what TLS 1.2 may add to it.
    static constexpr std::size_t largest_record = std::size_t{16} * 1024 + 512;
    /// The buffer into which a thread receives. The bytes are passed to OpenSSL before anything
    /// else happens, and a fiber never waits in a receive into it. So all connections of the thread
    /// share it.
    static char* receive_buffer();
    /// Makes what was received the next thing that OpenSSL reads.
    void supply(std::string_view received);
    [[noreturn]] void fail_handshake(Channel& channel, int error);
    [[noreturn]] void throw_handshake_error();

    static constexpr char own_kind{};

    static int write_bio(BIO* bio, const char* data, int size);
    static int read_bio(BIO* bio, char* data, int size);
    static long control_bio(BIO* bio, int command, long number, void* pointer);
    static BIO_METHOD* bio_method();

    SSLContext context_;
    std::string server_hostname_;
    SslPtr ssl_;
    mutable std::mutex mutex_;

    int descriptor_ = -1;          // of the channel
    std::string_view supplied_{};  // what OpenSSL reads next
    std::string rest_{};           // what it has left of it
    std::string output_{};         // what the kernel has not taken yet
    bool holds_back_ = false;      // output is collected
    // The size of a send that was encrypted and that the kernel has not taken as a whole. The
    // caller has to repeat it.
    std::size_t promised_ = 0;
    std::size_t promised_hash_ = 0;
    int write_error_ = 0;  // no output is possible any more
    bool is_established_ = false;
    bool is_failed_ = false;
    bool has_ended_output_ = false;
    unsigned long error_ = 0;  // OpenSSL's, of the failure
    std::string error_text_{};
};

/// The session of a channel; null if it has none.
TlsSession* session_of(Channel& channel) noexcept;

}  // namespace socketserver::detail
