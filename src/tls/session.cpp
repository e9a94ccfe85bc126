// SPDX-License-Identifier: MIT
#include "tls/session.hpp"

#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

/// A peer that makes this side answer, and does not read the answers, has its connection ended
/// here. The longest flight of a handshake with an ordinary chain is some 10 KB.
constexpr std::size_t most_held_back = std::size_t{256} * 1024;

/// Sends without the scheduler of the fibers, so that a request that is being cancelled can still
/// announce the end to its peer.
std::ptrdiff_t send_now(int descriptor, std::string_view data) noexcept {
    return sys::retry_on_eintr([&] {
        return sys::calls.send(descriptor, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
}

bool is_numeric(const std::string& host) {
    const auto bytes = std::unique_ptr<ASN1_OCTET_STRING, Freeing<ASN1_OCTET_STRING_free>>{
        a2i_IPADDRESS(host.c_str())};
    ERR_clear_error();
    return bytes != nullptr;
}

}  // namespace

char* TlsSession::receive_buffer() {
    thread_local std::vector<char> buffer(largest_record);
    return buffer.data();
}

BIO_METHOD* TlsSession::bio_method() {
    // It is never freed, because sessions of daemon threads may outlive static objects.
    static BIO_METHOD* const method = [] {
        BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socketserver");
        if (made == nullptr) throw std::bad_alloc();
        BIO_meth_set_write(made, write_bio);
        BIO_meth_set_read(made, read_bio);
        BIO_meth_set_ctrl(made, control_bio);
        return made;
    }();
    return method;
}

int TlsSession::read_bio(BIO* bio, char* data, int size) {
    auto& session = *static_cast<TlsSession*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const std::size_t taken =
        session.supplied_.copy(data, static_cast<std::size_t>(std::max(size, 0)));
    if (taken == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    session.supplied_.remove_prefix(taken);
    return static_cast<int>(taken);
}

/// Does not fail if the peer receives nothing more, because what the peer has sent before must
/// still be read.
int TlsSession::write_bio(BIO* bio, const char* data, int size) {
    auto& session = *static_cast<TlsSession*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (size <= 0 || session.write_error_ != 0) return size;
    std::string_view left{data, static_cast<std::size_t>(size)};
    if (!session.holds_back_ && !session.has_output()) {
        const std::ptrdiff_t sent = send_now(session.descriptor_, left);
        if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
        if (sent == -1 && errno != EAGAIN) {
            session.write_error_ = errno;
            return size;
        }
    }
    if (session.output_.size() + left.size() > most_held_back) return -1;
    try {
        session.output_ += left;
    } catch (const std::bad_alloc&) {
        return -1;
    }
    return size;
}

long TlsSession::control_bio(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

TlsSession::TlsSession(const SSLContext& context, const std::string& server_hostname)
    : context_{context}, server_hostname_{server_hostname}, ssl_{SSL_new(context.native_handle())} {
    SSL* const ssl = ssl_.get();
    BIO* const bio = ssl == nullptr ? nullptr : BIO_new(bio_method());
    if (bio == nullptr) throw_ssl_error("make a TLS session");
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (context_.purpose() == TLSPurpose::server) {
        SSL_set_accept_state(ssl);
        return;
    }
    SSL_set_connect_state(ssl);
    context_.state_->prepare_client(ssl);
    const bool checks = context_.check_hostname();
    if (server_hostname_.empty()) {
        if (checks) {
            throw SSLError("TLS to a server whose name is to be checked, and is not given");
        }
        return;
    }
    if (is_numeric(server_hostname_)) {  // such a name is not sent: RFC 6066
        if (checks &&
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_hostname_.c_str()) != 1) {
            throw_ssl_error("TLS to " + server_hostname_);
        }
        return;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // SSL_set_tlsext_host_name() without the cast in the macro; OpenSSL copies the name.
    if (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 server_hostname_.data()) != 1 ||
        (checks && SSL_set1_host(ssl, server_hostname_.c_str()) != 1)) {
        throw_ssl_error("TLS to " + server_hostname_);
    }
}

/// The descriptor is still open here, because a channel destroys its filter first.
TlsSession::~TlsSession() {
    const OpenSslUse use;
    end_output();
    ssl_.reset();
}

void TlsSession::supply(std::string_view received) {
    if (rest_.empty()) {
        supplied_ = received;
    } else {
        rest_ += received;
        supplied_ = rest_;
    }
}

/// To be called after a call of OpenSSL: keeps the input that OpenSSL has not read, because the
/// receive buffer is about to be reused.
void TlsSession::keep_rest() {
    if (supplied_.empty()) {
        rest_ = {};
    } else {
        rest_ = std::string{supplied_};
    }
    supplied_ = {};
}

void TlsSession::flush() noexcept {
    while (has_output() && write_error_ == 0) {
        const std::ptrdiff_t sent = send_now(descriptor_, output_);
        if (sent == -1) {
            if (errno == EAGAIN) return;
            write_error_ = errno;
        } else {
            output_.erase(0, static_cast<std::size_t>(sent));
        }
    }
    output_ = {};  // also its memory
}

void TlsSession::note_failure() {
    is_failed_ = true;
    error_ = ERR_peek_error();
    error_text_ = reason_of(error_);
    if (ERR_GET_REASON(error_) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        error_text_ += ": ";
        error_text_ += X509_verify_cert_error_string(SSL_get_verify_result(native()));
    }
    ERR_clear_error();
}

TlsSession::Step TlsSession::read_record(Channel& channel, Read read, std::span<char> buffer,
                                         std::size_t& got) {
    got = 0;
    if (is_failed_) return Step::failed;
    descriptor_ = channel.fd;
    ERR_clear_error();
    int result = 0;
    call_on_shared_stack([&] { result = read(native(), buffer.data(), buffer.size(), &got); });
    const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(native(), result);
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) {
        note_failure();
    }
    keep_rest();
    if (is_failed_) {
        flush();  // an alert
        return Step::failed;
    }
    return error == SSL_ERROR_WANT_READ ? Step::needs_input : Step::done;
}

std::ptrdiff_t TlsSession::recv(Channel& channel, char* data, std::size_t size, bool may_wait) {
    return receive(channel, SSL_read_ex, {data, size}, may_wait);
}

bool TlsSession::look(Channel& channel) {
    char byte{};
    return receive(channel, SSL_peek_ex, {&byte, 1}, false) != -1 || errno != EAGAIN;
}

std::ptrdiff_t TlsSession::receive(Channel& channel, Read read, std::span<char> buffer,
                                   bool may_wait) {
    std::string_view received;
    for (;;) {
        {
            const Use use{*this};
            supply(received);
            std::size_t got = 0;
            const Step step = read_record(channel, read, buffer, got);
            if (step == Step::done) return static_cast<std::ptrdiff_t>(got);
            if (step == Step::failed) {
                errno = protocol_error;
                return -1;
            }
            if (may_wait) flush();
        }
        const int flags = std::exchange(may_wait, false) ? 0 : MSG_DONTWAIT;
        const std::ptrdiff_t got = detail::recv(channel, receive_buffer(), largest_record, flags);
        if (got == -1) {
            const int error = errno;
            const Use use{*this};
            flush();  // tickets, or the answer to a new key: the peer's turn begins
            errno = error;
            return -1;
        }
        if (got == 0) {
            if (context_.suppress_ragged_eofs()) return 0;
            errno = cut_off;
            return -1;
        }
        received = {receive_buffer(), static_cast<std::size_t>(got)};
    }
}

std::ptrdiff_t TlsSession::send(Channel& channel, std::string_view data) {
    if (data.empty()) return 0;
    const Use use{*this};
    descriptor_ = channel.fd;
    if (has_ended_output_) {
        errno = EPIPE;
        return -1;
    }
    const auto hash_of = [&](std::size_t size) {
        return std::hash<std::string_view>{}(data.substr(0, size));
    };
    if (promised_ > 0 && (promised_ > data.size() || promised_hash_ != hash_of(promised_))) {
        // A part of the record was sent and cannot be undone, so other bytes cannot follow it.
        is_failed_ = true;
        error_text_ = "an earlier send was given up half-way";
    }
    // A small output is sent together with the next one.
    if (promised_ > 0 || output_.size() > largest_record) flush();
    if (promised_ == 0 && output_.size() <= largest_record && !is_failed_ && write_error_ == 0) {
        ERR_clear_error();
        // This encrypts one record, because partial writes are enabled.
        int result = 0;
        call_on_shared_stack(
            [&] { result = SSL_write_ex(native(), data.data(), data.size(), &promised_); });
        if (result != 1) note_failure();
        flush();
        if (has_output()) promised_hash_ = hash_of(promised_);
    }
    if (is_failed_ || write_error_ != 0) {
        errno = is_failed_ ? protocol_error : write_error_;
        return -1;
    }
    if (has_output()) {
        errno = EAGAIN;
        return -1;
    }
    return static_cast<std::ptrdiff_t>(std::exchange(promised_, 0));
}

/// The bytes that OpenSSL has may be only a part of a record, so OpenSSL is asked.
bool TlsSession::has_pending() const noexcept {
    try {
        const Use use{*this};
        if (is_failed_ || SSL_pending(native()) > 0 || !rest_.empty()) return true;
        if (SSL_has_pending(native()) == 0) return false;
        char byte{};
        std::size_t size = 0;
        ERR_clear_error();
        const int result = SSL_peek_ex(native(), &byte, 1, &size);
        const bool waits = result != 1 && SSL_get_error(native(), result) == SSL_ERROR_WANT_READ;
        ERR_clear_error();
        return !waits;
    } catch (const std::system_error&) {
        return true;  // the lock failed; the next receive will report it
    }
}

/// To be called under the lock, or in the destructor.
void TlsSession::end_output() noexcept {
    if (is_established_ && !is_failed_ && !std::exchange(has_ended_output_, true)) {
        ERR_clear_error();
        SSL_shutdown(native());
        ERR_clear_error();
    }
    flush();
}

void TlsSession::shutdown(Channel& channel) noexcept {
    try {
        const Use use{*this};
        descriptor_ = channel.fd;
        end_output();
    } catch (const std::system_error&) {
        // The lock failed, so the peer sees an end that was not announced.
    }
}

void TlsSession::refuse(Channel& channel) {
    const Use use{*this};
    descriptor_ = channel.fd;
    end_output();
    is_failed_ = true;
    error_text_ = "the peer was refused";
}

void TlsSession::throw_error(int error, std::string_view operation) {
    if (error == cut_off) throw SSLEOFError(std::string{operation});
    if (error != protocol_error) return;
    throw SSLError(std::string{operation} + ": TLS: " + error_text_,
                   {ERR_GET_REASON(error_), ssl_category()});
}

TlsSession* session_of(Channel& channel) noexcept { return TlsSession::from(channel.filter.get()); }

}  // namespace socketserver::detail
