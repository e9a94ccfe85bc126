// SPDX-License-Identifier: MIT
// An echo server for a service manager: takes the listening socket from it, or listens on a port of
// its own; says when it is ready, how many clients there are, and when it stops; and feeds the
// manager's watchdog from the serve loop. systemd [port]
// Try: systemd-socket-activate --listen 9999 ./systemd
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/systemd.hpp>

#include <chrono>
#include <cstdio>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// [service]
class Service : public ss::ThreadingTCPServer<EchoHandler> {
  public:
    using TCPServer::TCPServer;
    ~Service() override { server_close(); }

  protected:
    void service_actions() override {
        TCPServer::service_actions();
        const auto now = std::chrono::steady_clock::now();
        if (!watchdog_ || now < next_) return;
        next_ = now + *watchdog_ / 2;
        ss::systemd::notify(fmt::format("WATCHDOG=1\nSTATUS={} clients", statistics().active));
    }

  private:
    std::optional<std::chrono::microseconds> watchdog_ = ss::systemd::watchdog_enabled();
    std::chrono::steady_clock::time_point next_{};
};

void serve(Service& server) {
    // The manager keeps the socket for the next start: who waits to be accepted is left to that.
    const ss::ShutdownOnSignal signals{
        server, ss::DrainFor{std::chrono::seconds{20}, ss::AcceptQueue::leave}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    ss::systemd::notify("READY=1");
    server.serve_forever();
    ss::systemd::notify("STOPPING=1");
}
// [service]

int main(int argc, char** argv) {
    auto passed = ss::systemd::listen_fds();
    if (passed.empty()) {
        Service server{{"localhost", argc > 1 ? ss::parse_port(argv[1]) : 9999}};
        serve(server);
    } else {
        Service server{std::move(passed.front().socket)};
        serve(server);
    }
}
