// SPDX-License-Identifier: MIT
#include "socketserver/errors.hpp"

#include <netdb.h>

#include <utility>

namespace socketserver {

TimeoutError::TimeoutError(const std::string& operation)
    : std::system_error(std::make_error_code(std::errc::timed_out), operation) {}
TimeoutError::~TimeoutError() = default;

IdleTimeout::IdleTimeout(const std::string& operation)
    : TimeoutError(operation + ": the client sent no request") {}
IdleTimeout::~IdleTimeout() = default;

DeadlineExceeded::DeadlineExceeded(const std::string& operation)
    : TimeoutError(operation + ": the request lasts too long") {}
DeadlineExceeded::~DeadlineExceeded() = default;

Cancelled::Cancelled(const std::string& operation)
    // NOLINTNEXTLINE(bugprone-throw-keyword-missing): it is a member
    : text_{std::make_error_code(std::errc::operation_canceled), operation} {}
Cancelled::~Cancelled() = default;

LineTooLong::LineTooLong(std::size_t limit) : LineTooLong("readline", limit) {}
LineTooLong::LineTooLong(const std::string& operation, std::size_t limit)
    : std::length_error(operation + ": no end of line within " + std::to_string(limit) + " bytes") {
}
LineTooLong::~LineTooLong() = default;

IncompleteReadError::IncompleteReadError(const std::string& operation, std::string partial,
                                         std::size_t expected)
    : std::runtime_error(operation + ": the end came after " + std::to_string(partial.size()) +
                         " of " + std::to_string(expected) + " bytes"),
      partial_{std::make_shared<const std::string>(std::move(partial))},
      expected_{expected} {}
IncompleteReadError::~IncompleteReadError() = default;

SSLError::SSLError(const std::string& text, std::error_code code)
    : std::system_error(code), text_{text} {}
SSLError::~SSLError() = default;

SSLEOFError::SSLEOFError(const std::string& operation)
    : SSLError(operation + ": the peer ended the connection without close_notify",
               std::make_error_code(std::errc::connection_reset)) {}
SSLEOFError::~SSLEOFError() = default;

HandshakeError::HandshakeError(HandshakeFailure reason, bool server_side, const std::string& text,
                               std::error_code code)
    : SSLError(text, code), reason_{reason}, server_side_{server_side} {}
HandshakeError::~HandshakeError() = default;

ProxyHeaderError::ProxyHeaderError(ProxyHeaderFailure reason, const std::string& text)
    : std::runtime_error("PROXY header: " + text), reason_{reason} {}
ProxyHeaderError::~ProxyHeaderError() = default;

FinishError::FinishError(const std::string& text, std::exception_ptr of_finish)
    : std::runtime_error(text), of_finish_{std::move(of_finish)} {}
FinishError::~FinishError() = default;

namespace {
class ResolverCategory final : public std::error_category {
    const char* name() const noexcept override { return "resolver"; }
    std::string message(int code) const override { return ::gai_strerror(code); }
};

class SslCategory final : public std::error_category {
    const char* name() const noexcept override { return "ssl"; }
    // The text of the exception says what the number means. This library cannot look it up, because
    // it does not link OpenSSL.
    std::string message(int code) const override { return "TLS error " + std::to_string(code); }
};
}  // namespace

const std::error_category& resolver_category() noexcept {
    static const ResolverCategory category;
    return category;
}

const std::error_category& ssl_category() noexcept {
    static const SslCategory category;
    return category;
}

}  // namespace socketserver
