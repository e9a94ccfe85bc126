// SPDX-License-Identifier: MIT
// Certificates by name, and new ones without a restart: SIGHUP reads all files again.
// tls_names PORT PEM [NAME=PEM...]: each file has a certificate, what leads to an authority, and
// the key. NAME is a host name, or "*.example.org".
// Try: openssl s_client -connect localhost:9999 -servername www.example.org
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/tls_server.hpp>

#include <csignal>
#include <cstdio>
#include <span>
#include <string>

namespace ss = socketserver;

namespace {

volatile std::sig_atomic_t reload_is_asked_for = 0;

class NameHandler : public ss::StreamRequestHandler {
    void handle() override {
        const ss::TLSConnection connection{request()};
        wfile().print("{} {}\n", connection.version(), connection.server_hostname());
    }
};

// [reload]
class NamesServer : public ss::TLSServer<ss::ThreadingTCPServer<NameHandler>> {
  public:
    using TLSServer::TLSServer;
    ~NamesServer() override { server_close(); }

  protected:
    void service_actions() override {
        TLSServer::service_actions();
        if (reload_is_asked_for == 0) return;
        reload_is_asked_for = 0;
        try {
            context().reload();
            fmt::print("reloaded\n");
        } catch (const ss::SSLError& error) {
            fmt::print("not reloaded: {}\n", error.what());  // what was there stays in force
        }
        std::fflush(stdout);
    }
};
// [reload]

}  // namespace

int main(int argc, char** argv) {
    const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
    if (arguments.size() < 3) {
        fmt::print(stderr, "usage: tls_names PORT PEM [NAME=PEM...]\n");
        return 2;
    }
    try {
        ss::SSLContext context{ss::TLSPurpose::server};
        context.load_cert_chain(arguments[2]);
        for (const std::string pair : arguments.subspan(3)) {
            const auto equals = pair.find('=');
            if (equals == std::string::npos) throw ss::SSLError(pair + ": not NAME=PEM");
            context.add_cert_chain(pair.substr(0, equals), pair.substr(equals + 1));
        }
        NamesServer server{{"localhost", ss::parse_port(arguments[1])}, context};
        const ss::ShutdownOnSignal signals{server};
        std::signal(SIGHUP, [](int) { reload_is_asked_for = 1; });
        fmt::print(stderr, "serving on {}\n", server.server_address());
        server.serve_forever();
    } catch (const ss::SSLError& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
