// SPDX-License-Identifier: MIT
#include "tls/openssl.hpp"

#include <utility>

#include "io/close_on_fork.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

/// The number of uses in this thread. No fiber is suspended while it is not zero.
constinit thread_local int uses = 0;

}  // namespace

OpenSslUse::OpenSslUse() noexcept {
    if (uses++ == 0) CloseOnFork::forbid_fork();
}

OpenSslUse::~OpenSslUse() {
    if (--uses == 0) CloseOnFork::allow_fork();
}

OpenSslUse::Pause::Pause() noexcept : depth_{std::exchange(uses, 0)} {
    if (depth_ > 0) CloseOnFork::allow_fork();
}

OpenSslUse::Pause::~Pause() {
    if (depth_ > 0) CloseOnFork::forbid_fork();
    uses = depth_;
}

unsigned long take_error() noexcept {
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    return error;
}

std::string reason_of(unsigned long error) {
    if (error == 0) return "unknown error";
    if (const char* reason = ERR_reason_error_string(error)) return reason;
    return "OpenSSL error " + std::to_string(error);
}

void throw_ssl_error(const std::string& what_failed) {
    const unsigned long error = take_error();
    throw SSLError(what_failed + ": " + reason_of(error), {ERR_GET_REASON(error), ssl_category()});
}

}  // namespace socketserver::detail
