// SPDX-License-Identifier: MIT
// Serves only clients that show a certificate of a given authority, and tells each who it is.
// tls_members PORT PEM AUTHORITIES [COMMON-NAME...]: with names, only these are served.
// Try: openssl s_client -connect localhost:9999 -cert client.pem -key client-key.pem
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/tls_server.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace ss = socketserver;

class WhoHandler : public ss::StreamRequestHandler {
    void handle() override {
        const auto certificate = ss::TLSConnection{request()}.getpeercert();
        wfile().print("{} {}\n", certificate->subject, certificate->fingerprint);
    }
};

class MembersServer : public ss::TLSServer<ss::ThreadingTCPServer<WhoHandler>> {
  public:
    MembersServer(const ss::Address& address, ss::SSLContext context,
                  std::vector<std::string> members)
        : TLSServer{address, std::move(context)}, members_{std::move(members)} {}
    ~MembersServer() override { server_close(); }

  protected:
    bool verify_peer(const ss::TLSConnection& connection, const ss::Address&) override {
        const std::string name = connection.getpeercert()->common_name;
        return members_.empty() || std::ranges::find(members_, name) != members_.end();
    }
    void handshake_failed(const ss::Address& client_address,
                          const ss::HandshakeError& error) override {
        fmt::print("{}: {}\n", client_address, error.what());
    }

  private:
    const std::vector<std::string> members_;
};

int main(int argc, char** argv) {
    if (argc < 4) {
        fmt::print(stderr, "usage: tls_members PORT PEM AUTHORITIES [COMMON-NAME...]\n");
        return 2;
    }
    try {
        ss::SSLContext context{ss::TLSPurpose::server};
        context.load_cert_chain(argv[2]);
        context.load_verify_locations(argv[3]);
        context.verify_mode(ss::VerifyMode::required);
        MembersServer server{
            {"localhost", ss::parse_port(argv[1])}, context, {argv + 4, argv + argc}};
        const ss::ShutdownOnSignal signals{server};
        fmt::print(stderr, "serving on {}\n", server.server_address());
        server.serve_forever();
    } catch (const ss::SSLError& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
