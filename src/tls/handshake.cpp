// SPDX-License-Identifier: MIT
// The handshake of a TlsSession, and what its failures are called.
#include <sys/socket.h>

#include <cerrno>
#include <string_view>

#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"
#include "tls/session.hpp"

namespace socketserver::detail {

TlsSession::Step TlsSession::step_handshake(Channel& channel) {
    descriptor_ = channel.fd;
    ERR_clear_error();
    holds_back_ = true;
    const int result = SSL_do_handshake(native());
    holds_back_ = false;
    const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(native(), result);
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) note_failure();
    keep_rest();
    if (error == SSL_ERROR_NONE) is_established_ = true;
    // At the end of a TLS 1.3 handshake only session tickets are left to send. They are sent with
    // the first bytes of the server, or when it waits for the client. In a packet of their own they
    // would delay the next packet until the client has acknowledged them (Nagle's algorithm).
    const bool are_tickets =
        is_established_ && SSL_is_server(native()) == 1 && SSL_version(native()) >= TLS1_3_VERSION;
    if (!are_tickets) flush();
    if (is_failed_) return Step::failed;
    return is_established_ ? Step::done : Step::needs_input;
}

void TlsSession::handshake(Channel& channel, TimePoint until) {
    std::string_view received;
    for (;;) {
        Step step{};
        bool is_blocked = false;
        {
            const Use use{*this};
            supply(received);
            step = step_handshake(channel);
            is_blocked = has_output() && SSL_is_server(native()) == 0;
            if (step == Step::needs_input) is_blocked = has_output();
        }
        received = {};
        if (step == Step::failed) throw_handshake_error();
        while (is_blocked) {
            if (detail::wait(channel, Direction::write, until) == -1) {
                fail_handshake(channel, errno);
            }
            const Use use{*this};
            flush();
            is_blocked = has_output();
        }
        if (step == Step::done) return detail::release_stack();
        // The time is checked here too, because input may come without end.
        if (until != never && Clock::now() >= until) fail_handshake(channel, ETIMEDOUT);
        const std::ptrdiff_t got =
            detail::recv(channel, receive_buffer(), largest_record, MSG_DONTWAIT);
        if (got == -1) {
            if (errno != EAGAIN || detail::wait(channel, Direction::read, until) == -1) {
                fail_handshake(channel, errno);
            }
            continue;
        }
        if (got == 0) fail_handshake(channel, ECONNRESET);
        received = {receive_buffer(), static_cast<std::size_t>(got)};
    }
}

void TlsSession::fail_handshake(Channel& channel, int error) {
    const bool is_server = SSL_is_server(native()) == 1;
    {
        const Use use{*this};
        is_failed_ = true;
        error_text_ = "there was no handshake";
    }
    const std::error_code code{error, std::system_category()};
    switch (error) {
        case ECANCELED:
            throw Cancelled("TLS handshake");
        case ETIMEDOUT:
            throw HandshakeError(HandshakeFailure::timed_out, is_server,
                                 "TLS handshake: the peer is too slow", code);
        case ECONNRESET:
        case EPIPE:
            channel.peer_gone.store(true);
            throw HandshakeError(HandshakeFailure::client_closed, is_server,
                                 "TLS handshake: the peer ended the connection", code);
        default:
            throw HandshakeError(HandshakeFailure::other, is_server,
                                 "TLS handshake: " + code.message(), code);
    }
}

namespace {

HandshakeFailure failure_of(int reason) {
    switch (reason) {
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_UNKNOWN_PROTOCOL:
            return HandshakeFailure::not_tls;
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW:
        case SSL_R_NO_PROTOCOLS_AVAILABLE:
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            return HandshakeFailure::no_shared_version;
        case SSL_R_NO_SHARED_CIPHER:
        case SSL_R_NO_SUITABLE_KEY_SHARE:
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
            return HandshakeFailure::no_shared_cipher;
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return HandshakeFailure::no_certificate;
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return HandshakeFailure::wrong_certificate;
        default:
            return reason >= SSL_AD_REASON_OFFSET ? HandshakeFailure::peer_refused
                                                  : HandshakeFailure::other;
    }
}

}  // namespace

void TlsSession::throw_handshake_error() {
    const int reason = ERR_GET_REASON(error_);
    throw HandshakeError(failure_of(reason), SSL_is_server(native()) == 1,
                         "TLS handshake: " + error_text_, {reason, ssl_category()});
}

}  // namespace socketserver::detail
