// SPDX-License-Identifier: MIT
// An echo server with a second, small server for those who run it: /metrics for Prometheus,
// /healthz (the process answers), /readyz (new clients are welcome; 503 from the first moment
// of a drain) and /connections (who is there). admin [port] [admin port]
// Try: curl localhost:9100/metrics
#include <fmt/format.h>
#include <socketserver/prometheus.hpp>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// [admin]
/// Answers GET by HTTP/1.0. Whoever may watch the server may not keep it from being watched: a
/// request has a second.
class AdminHandler : public ss::StreamRequestHandler {
  public:
    explicit AdminHandler(const ss::ServerBase& watched) : watched_{watched} {}

  private:
    void handle() override {
        const std::string request{rfile().readline(4096)};
        bool takes_openmetrics = false;  // of the headers only this one matters here
        for (std::string_view header; (header = rfile().readline(4096)).size() > 2;) {
            takes_openmetrics |= header.find("application/openmetrics-text") != header.npos;
        }
        if (request.starts_with("GET /metrics ")) {
            const ss::MetricLabels labels{{"server", "echo"}};
            const ss::Statistics statistics = watched_.statistics();
            takes_openmetrics ? answer("200 OK", ss::openmetrics_text(statistics, labels),
                                       ss::openmetrics_content_type)
                              : answer("200 OK", ss::prometheus_text(statistics, labels),
                                       ss::prometheus_content_type);
        } else if (request.starts_with("GET /healthz ")) {
            answer("200 OK", "alive\n");
        } else if (request.starts_with("GET /readyz ")) {
            watched_.is_draining() ? answer("503 Service Unavailable", "draining\n")
                                   : answer("200 OK", "ready\n");
        } else if (request.starts_with("GET /connections ")) {
            answer("200 OK", who_is_there());
        } else {
            answer("404 Not Found", "/metrics, /healthz, /readyz or /connections\n");
        }
    }
    std::string who_is_there() const {
        const auto now = std::chrono::steady_clock::now();
        std::string text = "client seconds state received sent\n";
        for (const ss::ConnectionInfo& each : watched_.connections()) {
            text += fmt::format("{} {:.3f} {} {} {}\n", each.client_address,
                                std::chrono::duration<double>(now - each.opened).count(),
                                each.is_idle ? "idle" : "busy", each.bytes_in, each.bytes_out);
        }
        return text;
    }
    void answer(std::string_view status, std::string_view body,
                std::string_view type = "text/plain") {
        wfile().print("HTTP/1.0 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}", status,
                      type, body.size(), body);
    }
    const ss::ServerBase& watched_;
};
// [admin]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const auto admin_port = argc > 2 ? ss::parse_port(argv[2]) : 9100;
    ss::ThreadingTCPServer<EchoHandler> server{{"localhost", port}};
    ss::TCPServer<AdminHandler> admin{{"localhost", admin_port},
                                      {.request_timeout = std::chrono::seconds{1}},
                                      [&] { return AdminHandler{server}; }};
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{std::chrono::seconds{10}}};
    std::thread watching{[&] { admin.serve_forever(); }};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    fmt::print(stderr, "serving on {}\n", admin.server_address());
    server.serve_forever();
    admin.shutdown();  // watched to the end
    watching.join();
}
