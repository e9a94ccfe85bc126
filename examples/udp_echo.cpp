// SPDX-License-Identifier: MIT
// Datagrams: each one is a request, and what is written goes back as one datagram.
// Try: nc -u localhost 9999
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

// [udp_echo]
class EchoHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};
// [udp_echo]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::UDPServer<EchoHandler> server{{"localhost", port}};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
