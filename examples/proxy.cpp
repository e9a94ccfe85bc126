// SPDX-License-Identifier: MIT
// Passes connections on to another server, in both directions: proxy <host> <port> [own port]
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <chrono>

namespace ss = socketserver;

#ifndef POLICY
#    define POLICY ThreadingMixIn  // the tests build this program with another one, too
#endif

// [proxy]
class ProxyHandler : public ss::BaseRequestHandler<> {
  public:
    explicit ProxyHandler(const ss::Address& target) : target_{target} {}

  private:
    void handle() override {
        using namespace std::chrono_literals;
        ss::Socket upstream = ss::create_connection(target_, ss::SocketType::stream, 5s);
        ss::relay(request(), upstream, 10min);  // until both have ended, or are silent for so long
    }

    const ss::Address& target_;
};
// [proxy]

int main(int argc, char** argv) {
    if (argc < 3) {
        fmt::print(stderr, "usage: proxy <host> <port> [own port]\n");
        return 2;
    }
    const ss::Address target{argv[1], ss::parse_port(argv[2])};
    ss::TCPServer<ProxyHandler, ss::POLICY> server{
        {"localhost", argc > 3 ? ss::parse_port(argv[3]) : 9999}, {}, [&] {
            return ProxyHandler{target};
        }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
