// SPDX-License-Identifier: MIT
#include "tls/openssl.hpp"

#include "socketserver/errors.hpp"

namespace socketserver::detail {

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
