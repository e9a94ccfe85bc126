// SPDX-License-Identifier: MIT
// An echo server with a second, small server for those who run it: /metrics for Prometheus,
// /healthz (the process answers), /readyz (new clients are welcome; 503 from the first moment
// of a drain) and /connections (who is there). admin [port] [admin port]
// Try: curl localhost:9100/metrics
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdio>
#include <thread>

#include "admin_handler.hpp"

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const auto admin_port = argc > 2 ? ss::parse_port(argv[2]) : 9100;
    ss::ThreadingTCPServer<EchoHandler> server{{"localhost", port}};
    ss::TCPServer<AdminHandler> admin{
        {"localhost", admin_port}, {.request_timeout = std::chrono::seconds{1}}, [&] {
            return AdminHandler{server, {{"server", "echo"}}};
        }};
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{std::chrono::seconds{10}}};
    std::thread watching{[&] { admin.serve_forever(); }};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    fmt::print(stderr, "serving on {}\n", admin.server_address());
    server.serve_forever();
    admin.shutdown();  // watched to the end
    watching.join();
}
