// SPDX-License-Identifier: MIT
// A small server beside the one that serves, for those who run it.
#pragma once

#include <fmt/format.h>
#include <socketserver/prometheus.hpp>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

namespace apps {

namespace ss = socketserver;

/// Answers /metrics (for Prometheus), /healthz, /readyz (503 from the first moment of a drain on)
/// and /connections by HTTP/1.0. examples/admin.cpp explains it.
class AdminHandler : public ss::StreamRequestHandler {
  public:
    explicit AdminHandler(const ss::ServerBase& watched) : watched_{watched} {}

  private:
    void handle() override {
        const std::string request{rfile().readline(4096)};
        while (rfile().readline(4096).size() > 2) {
        }  // the headers say nothing to this server
        if (request.starts_with("GET /metrics ")) {
            answer("200 OK", ss::prometheus_text(watched_.statistics()),
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

/// Serves on the loopback interface, in a thread of its own, as long as it lives.
class Admin {
  public:
    Admin(const ss::ServerBase& watched, std::uint16_t port)
        : server_{{"localhost", port},
                  {.allow_reuse_address = true, .request_timeout = std::chrono::seconds{1}},
                  [&watched] { return AdminHandler{watched}; }},
          serving_{[this] { server_.serve_forever(); }} {
        fmt::print(stderr, "admin on {}\n", server_.server_address());
    }
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;
    ~Admin() { server_.shutdown(); }

  private:
    ss::TCPServer<AdminHandler> server_;
    std::jthread serving_;
};

/// Says who has gone, why, and how long that client was here.
template <class Server>
class ConnectionLog : public Server {
  public:
    using Server::Server;
    ~ConnectionLog() override { this->server_close(); }

    bool logs_connections = false;

  protected:
    void connection_closed(const ss::Address& client_address, ss::CloseReason reason,
                           std::chrono::nanoseconds duration) override {
        if (!logs_connections) return;
        fmt::print(stderr, "{} {} after {:.3f} s\n", client_address, ss::to_string(reason),
                   std::chrono::duration<double>{duration}.count());
    }
};

}  // namespace apps
