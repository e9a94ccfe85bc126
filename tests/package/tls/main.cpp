// SPDX-License-Identifier: MIT
#include <socketserver/ssl_context.hpp>

#include <socketserver/errors.hpp>

#include <string>

int main() {
    socketserver::SSLContext context{socketserver::TLSPurpose::server};
    try {
        context.load_cert_chain("/nowhere/cert.pem");
    } catch (const socketserver::SSLError& error) {
        return std::string{error.what()}.starts_with("/nowhere/cert.pem: ") ? 0 : 1;
    }
    return 1;
}
