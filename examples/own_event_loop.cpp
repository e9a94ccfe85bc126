// SPDX-License-Identifier: MIT
// Two servers in the program's own event loop, beside a descriptor of the program itself (here:
// signals). No thread, no serve_forever().
#include <fmt/format.h>
#include <poll.h>
#include <socketserver/socketserver.hpp>
#include <sys/signalfd.h>

#include <csignal>

namespace ss = socketserver;

class HelloHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().write("hello\n"); }
};
class DatagramEchoHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    sigset_t stopping;
    sigemptyset(&stopping);
    sigaddset(&stopping, SIGINT);
    sigaddset(&stopping, SIGTERM);
    sigprocmask(SIG_BLOCK, &stopping, nullptr);
    const ss::Socket signals{signalfd(-1, &stopping, SFD_CLOEXEC)};  // any descriptor, to close it

    // [own_event_loop]
    // handle_request() must not wait: a client may be gone again after poll() has announced it.
    const ss::ServerOptions at_once{.timeout = std::chrono::milliseconds{0}};
    ss::TCPServer<HelloHandler> tcp{{"localhost", port}, at_once};
    ss::UDPServer<DatagramEchoHandler> udp{{"localhost", port}, at_once};
    fmt::print(stderr, "serving on {}\nserving on {}\n", tcp.server_address(),
               udp.server_address());

    for (;;) {
        pollfd ready[] = {
            {tcp.fileno(), POLLIN, 0}, {udp.fileno(), POLLIN, 0}, {signals.fileno(), POLLIN, 0}};
        if (::poll(ready, 3, -1) == -1) continue;
        if (ready[0].revents != 0) tcp.handle_request();
        if (ready[1].revents != 0) udp.handle_request();
        if (ready[2].revents != 0) break;
    }
    // [own_event_loop]
}
