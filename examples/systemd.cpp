// SPDX-License-Identifier: MIT
// An echo server for a service manager: takes the listening socket from it, or listens on a port of
// its own and lets the manager keep that socket; says when it is ready, how many clients there are,
// when it reloads and when it stops; and feeds the manager's watchdog from the serve loop. On
// SIGUSR2 a new version of it takes over. systemd [port]
// Try: systemd-socket-activate --listen 9999 ./systemd
#include <fmt/format.h>
#include <socketserver/service_notifier.hpp>
#include <socketserver/socketserver.hpp>
#include <socketserver/systemd.hpp>
#include <socketserver/upgrade.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// [service]
volatile std::sig_atomic_t reload_is_asked_for = 0;
extern "C" void note_hangup(int) { reload_is_asked_for = 1; }

class Service : public ss::ThreadingTCPServer<EchoHandler> {
  public:
    using TCPServer::TCPServer;
    ~Service() override { server_close(); }

    void serve() { serve_forever(notifier_.poll_interval()); }

  protected:
    void service_actions() override {
        TCPServer::service_actions();
        if (reload_is_asked_for != 0) reload();
        notifier_.turn();
    }

  private:
    void reload() {
        reload_is_asked_for = 0;
        ss::systemd::notify_reloading();
        // What there is to read again, files for example, is read here.
        ss::systemd::notify("READY=1");
    }
    ss::systemd::ServiceNotifier notifier_{*this};
};

void serve(Service& server) {
    // The manager keeps the socket for the next start: who waits to be accepted is left to that.
    const ss::ShutdownOnSignal signals{
        server, ss::DrainFor{std::chrono::seconds{20}, ss::AcceptQueue::leave}};
    const ss::UpgradeOnSignal upgrade{server};
    std::signal(SIGHUP, note_hangup);
    fmt::print(stderr, "serving on {}\n", server.server_address());
    ss::systemd::notify("READY=1");
    server.serve();
    ss::systemd::notify("STOPPING=1");
}
// [service]

int main(int argc, char** argv) {
    auto passed = ss::systemd::listen_fds();
    if (passed.empty()) {
        Service server{{"localhost", argc > 1 ? ss::parse_port(argv[1]) : 9999}};
        // [store]
        // If this process crashes, the next one has the socket, and who waits in its queue.
        const int listener = server.fileno();
        ss::systemd::store_fds("echo", {&listener, 1});
        // [store]
        serve(server);
    } else {
        Service server{std::move(passed.front().socket)};
        serve(server);
    }
}
