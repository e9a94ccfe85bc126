// SPDX-License-Identifier: MIT
// The line echo of echo.cpp, encrypted. tls_echo [port] [certificate] [key]
// Try, with a certificate as docs/guide/tls.md makes it:
//     openssl s_client -connect localhost:9999 -CAfile cert.pem -verify_hostname localhost
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/tls_server.hpp>

#include <cstdio>
#include <string>

namespace ss = socketserver;

// [tls_echo]
class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

class EchoServer : public ss::TLSServer<ss::ThreadingTCPServer<EchoHandler>> {
  public:
    using TLSServer::TLSServer;
    ~EchoServer() override { server_close(); }

  protected:
    void handshake_failed(const ss::Address& client_address,
                          const ss::HandshakeError& error) override {
        fmt::print("{}: {}\n", client_address, error.what());
    }
};
// [tls_echo]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const std::string certfile = argc > 2 ? argv[2] : "cert.pem";
    const std::string keyfile = argc > 3 ? argv[3] : "key.pem";
    try {
        EchoServer server{{"localhost", port}, {.certfile = certfile, .keyfile = keyfile}};
        const ss::ShutdownOnSignal signals{server};
        fmt::print(stderr, "serving on {}\n", server.server_address());
        server.serve_forever();
    } catch (const ss::SSLError& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
