// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "socketserver/detail/export.hpp"

/// @file
/// The exceptions that the library throws beside plain `std::system_error`. The end of a stream is
/// not an exception (reading returns an empty value), except for functions that read an exact
/// number of bytes (IncompleteReadError).
///
/// Thread safety: an exception object may be copied, and read from several threads at once.
namespace socketserver {

/// An operation did not finish within the time that was set for it (mirrors `TimeoutError`).
/// `code()` equals `std::errc::timed_out`.
class SOCKETSERVER_EXPORT TimeoutError : public std::system_error {
  public:
    /// `operation` begins the text.
    explicit TimeoutError(const std::string& operation);
    ~TimeoutError() override;
};

/// The client did not begin its next request within `ServerOptions::idle_timeout`. A handler that
/// wants to send a last message may catch this exception; for that message it has
/// ServerOptions::request_timeout.
class SOCKETSERVER_EXPORT IdleTimeout : public TimeoutError {
  public:
    /// `operation` begins the text.
    explicit IdleTimeout(const std::string& operation);
    ~IdleTimeout() override;
};

/// A request lasted longer than `ServerOptions::request_timeout`, over all of its operations
/// together: the client sends, or reads, too slowly. Operations on the connection that follow fail
/// as well.
class SOCKETSERVER_EXPORT DeadlineExceeded : public TimeoutError {
  public:
    /// `operation` begins the text.
    explicit DeadlineExceeded(const std::string& operation);
    ~DeadlineExceeded() override;
};

/// The server of this request is being stopped, and ends the operations that wait. A handler need
/// not catch this exception and should let it pass, so that destructors run. It is not reported as
/// a failure.
///
/// It is no `std::system_error`. So a handler that catches system errors in order to try again, or
/// to go on with something else, as Python's `except OSError` does, does not catch the end of its
/// server by accident. Mirrors `asyncio.CancelledError`, which is no `Exception` for the same
/// reason.
class SOCKETSERVER_EXPORT Cancelled : public std::exception {
  public:
    /// `operation` begins the text.
    explicit Cancelled(const std::string& operation);
    ~Cancelled() override;

    /// The operation, and that it was cancelled.
    const char* what() const noexcept override { return text_.what(); }
    /// Equals `std::errc::operation_canceled`.
    const std::error_code& code() const noexcept { return text_.code(); }

  private:
    std::system_error text_;
};

/// The peer sent a line, or a message of BufferedReader::read_until(), longer than the limit.
/// Nothing is lost: what was received stays in the reader and can be taken with read1() or read().
class SOCKETSERVER_EXPORT LineTooLong : public std::length_error {
  public:
    /// For a line.
    explicit LineTooLong(std::size_t limit);
    /// `operation` begins the text.
    LineTooLong(const std::string& operation, std::size_t limit);
    ~LineTooLong() override;
};

/// The stream, or the datagram, ended before the bytes that were asked for by number had come:
/// read_exactly(), read_integer() and recv_exactly(). Mirrors `asyncio.IncompleteReadError`, which
/// is an `EOFError`.
class SOCKETSERVER_EXPORT IncompleteReadError : public std::runtime_error {
  public:
    /// `operation` begins the text; the other arguments are the values that partial() and
    /// expected() return.
    IncompleteReadError(const std::string& operation, std::string partial, std::size_t expected);
    /// A copy shares the bytes.
    IncompleteReadError(const IncompleteReadError&) noexcept = default;
    /// A copy shares the bytes.
    IncompleteReadError& operator=(const IncompleteReadError&) noexcept = default;
    ~IncompleteReadError() override;

    /// What came; empty if the stream ended before the first of the bytes.
    const std::string& partial() const noexcept { return *partial_; }
    /// How many bytes were asked for.
    std::size_t expected() const noexcept { return expected_; }

  private:
    std::shared_ptr<const std::string> partial_;  // shared: an exception is copied without throwing
    std::size_t expected_;
};

/// The category of the errors of TLS. A value is an error number of OpenSSL, or 0 for an error that
/// OpenSSL did not report.
SOCKETSERVER_EXPORT const std::error_category& ssl_category() noexcept;

/// An operation of TLS failed: loading a certificate, a handshake, or receiving bytes that the
/// protocol does not allow. `code()` is of ssl_category(). Thrown by the component
/// `socketserver::tls` only. Mirrors `ssl.SSLError`.
class SOCKETSERVER_EXPORT SSLError : public std::system_error {
  public:
    /// With the whole text, and the error of OpenSSL if there was one.
    explicit SSLError(const std::string& text, std::error_code code = {0, ssl_category()});
    ~SSLError() override;

    /// The text, without that of code().
    const char* what() const noexcept override { return text_.what(); }

  private:
    std::runtime_error text_;  // whose copy throws nothing
};

/// The peer ended the connection without announcing the end by TLS, so the data may be incomplete.
/// Mirrors `ssl.SSLEOFError`.
class SOCKETSERVER_EXPORT SSLEOFError : public SSLError {
  public:
    /// `operation` begins the text.
    explicit SSLEOFError(const std::string& operation);
    ~SSLEOFError() override;
};

/// Why there is no connection after a handshake.
enum class HandshakeFailure : unsigned char {
    timed_out,          ///< it was not done in its time
    client_closed,      ///< the peer ended the connection
    not_tls,            ///< the peer does not speak TLS: plain HTTP, say
    no_shared_version,  ///< each side speaks versions of TLS that the other does not
    no_shared_cipher,   ///< no cipher, or no kind of key, that both sides take
    peer_refused,       ///< the peer sent an alert: it does not trust this side, say
    no_certificate,     ///< the peer showed none, and has to
    wrong_certificate,  ///< the peer's is not trusted, has expired, or is another host's
    other,              ///< see what()
};

/// A handshake failed. Mirrors what `SSLSocket.do_handshake` raises.
class SOCKETSERVER_EXPORT HandshakeError : public SSLError {
  public:
    /// With the values that the members return.
    HandshakeError(HandshakeFailure reason, bool server_side, const std::string& text,
                   std::error_code code = {0, ssl_category()});
    ~HandshakeError() override;

    /// Why it failed.
    HandshakeFailure reason() const noexcept { return reason_; }
    /// Whether this side was the server. If so, the failure is the client's, and the server does
    /// not report it.
    bool server_side() const noexcept { return server_side_; }

  private:
    HandshakeFailure reason_;
    bool server_side_;
};

/// Why a connection has no header of the PROXY protocol (proxy_protocol.hpp).
enum class ProxyHeaderFailure : unsigned char {
    not_a_header,   ///< it begins with something else
    malformed,      ///< it begins as a header, and goes on as none
    too_long,       ///< longer than `longest_proxy_line`, or `longest_proxy_header`
    timed_out,      ///< it was not there in its time
    client_closed,  ///< the connection ended before
};

/// A connection that has to begin with a header of the PROXY protocol does not begin with one. It
/// counts as CloseReason::proxy_header. The default handle_error() prints nothing for it, because
/// the failure is the peer's.
class SOCKETSERVER_EXPORT ProxyHeaderError : public std::runtime_error {
  public:
    /// With the value that reason() returns, and the whole text.
    ProxyHeaderError(ProxyHeaderFailure reason, const std::string& text);
    ~ProxyHeaderError() override;

    /// Why there is none.
    ProxyHeaderFailure reason() const noexcept { return reason_; }

  private:
    ProxyHeaderFailure reason_;
};

/// finish() threw after handle() had already thrown. `what()` describes the exception of finish().
/// The exception of handle() is nested in this one, as Python keeps it in `__context__`.
class SOCKETSERVER_EXPORT FinishError : public std::runtime_error, public std::nested_exception {
  public:
    /// Called while the exception of handle() is the current one. `of_finish` is what finish()
    /// threw, `text` describes it.
    explicit FinishError(const std::string& text, std::exception_ptr of_finish = nullptr);
    ~FinishError() override;

    /// The exception of finish(), or null if it is not known.
    const std::exception_ptr& of_finish() const noexcept { return of_finish_; }

  private:
    std::exception_ptr of_finish_;
};

/// The category of errors in finding the address of a host name (`EAI_…`, mirrors
/// `socket.gaierror`).
SOCKETSERVER_EXPORT const std::error_category& resolver_category() noexcept;

}  // namespace socketserver
