// SPDX-License-Identifier: MIT
// A server behind HAProxy or nginx, which tell it by the PROXY protocol who its clients are. It
// answers each line with what it was told. behind_proxy [policy] [port]
// Try: printf 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nhello\n' | nc localhost 9999
#include <fmt/format.h>
#include <socketserver/proxy_protocol.hpp>
#include <socketserver/socketserver.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace ss = socketserver;

// [behind_proxy]
class WhoHandler : public ss::StreamRequestHandler {
    void handle() override {
        std::string who = client_address().to_string();
        if (const ss::ProxyHeader* header = ss::proxy_header(request())) {
            who += fmt::format(" by {}", header->proxy.host());
            if (header->is_local) who += ", a check";
            if (const auto id = header->unique_id()) who += fmt::format(", id {}", *id);
            if (const auto name = header->authority()) who += fmt::format(", for {}", *name);
            if (const auto ssl = header->ssl()) who += fmt::format(", {}", ssl->version);
        }
        for (std::string_view line : rfile()) wfile().print("{}: {}", who, line);
    }
};

// Whoever connects from another address is no proxy of ours, and is refused.
const ss::ServerOptions from_our_proxies{.allow_reuse_address = true,
                                         .max_connections_per_address = 100,
                                         .proxy_protocol = ss::ProxyProtocol::only_from_networks,
                                         .proxy_networks = {"127.0.0.0/8", "::1"}};
// [behind_proxy]

template <template <class> class MixIn>
void serve(std::uint16_t port) {
    ss::TCPServer<WhoHandler, MixIn> server{{"localhost", port}, from_our_proxies};
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{std::chrono::seconds{10}}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
    const ss::Statistics statistics = server.statistics();
    fmt::print("{} closed without a header\n", statistics.closed(ss::CloseReason::proxy_header));
}

int main(int argc, char** argv) {
    const std::string policy = argc > 1 ? argv[1] : "threading";
    const std::uint16_t port = argc > 2 ? ss::parse_port(argv[2]) : 9999;
    if (policy == "synchronous") return serve<ss::SynchronousMixIn>(port), 0;
    if (policy == "threading") return serve<ss::ThreadingMixIn>(port), 0;
    if (policy == "forking") return serve<ss::ForkingMixIn>(port), 0;
    if (policy == "pool") return serve<ss::ThreadPoolMixIn>(port), 0;
    if (policy == "prefork") return serve<ss::PreforkMixIn>(port), 0;
#ifdef HAVE_FIBERS
    if (policy == "fiber") return serve<ss::FiberMixIn>(port), 0;
#endif
    fmt::print(stderr, "no policy is called {}\n", policy);
    return 2;
}
