// SPDX-License-Identifier: MIT
// An echo server that a new version of it replaces on SIGUSR2, while clients are served.
// upgrade [policy] [port]
// Try: install another version over the program, then  kill -USR2 <process>
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/systemd.hpp>
#include <socketserver/upgrade.hpp>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

template <template <class> class MixIn>
int serve(std::uint16_t port) {
    // [upgrade]
    using Server = ss::TCPServer<EchoHandler, MixIn>;
    // Of the version that this one replaces, or of a service manager; else its own.
    auto passed = ss::systemd::listen_fds();
    const auto server = passed.empty() ? std::make_unique<Server>(ss::Address{"localhost", port})
                                       : std::make_unique<Server>(std::move(passed.front().socket));
    const ss::ShutdownOnSignal signals{
        *server, ss::DrainFor{std::chrono::seconds{10}, ss::AcceptQueue::leave}};
    const ss::UpgradeOnSignal upgrade{*server, {.ready_within = std::chrono::seconds{20}}};
    fmt::print(stderr, "serving on {} , process {}\n", server->server_address(), ::getpid());
    ss::systemd::notify("READY=1");
    server->serve_forever();
    ss::systemd::notify("STOPPING=1");  // nothing, if a new version has taken over
    // [upgrade]
    return 0;
}

int main(int argc, char** argv) {
    const std::string policy = argc > 1 ? argv[1] : "threading";
    const std::uint16_t port = argc > 2 ? ss::parse_port(argv[2]) : 9999;
    if (policy == "synchronous") return serve<ss::SynchronousMixIn>(port);
    if (policy == "threading") return serve<ss::ThreadingMixIn>(port);
    if (policy == "forking") return serve<ss::ForkingMixIn>(port);
    if (policy == "pool") return serve<ss::ThreadPoolMixIn>(port);
    if (policy == "prefork") return serve<ss::PreforkMixIn>(port);
#ifdef HAVE_FIBERS
    if (policy == "fiber") return serve<ss::FiberMixIn>(port);
#endif
    fmt::print(stderr, "no policy is called {}\n", policy);
    return 2;
}
