// SPDX-License-Identifier: MIT
// The handler of a small server for those who run another one: /metrics for Prometheus, /healthz
// (the process answers), /readyz (new clients are welcome; 503 from the first moment of a drain)
// and /connections (who is there).
#pragma once

#include <fmt/format.h>
#include <socketserver/prometheus.hpp>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace ss = socketserver;

// [admin]
/// Answers GET by HTTP/1.0. Whoever may watch the server may not keep it from being watched: a
/// request has a second.
class AdminHandler : public ss::StreamRequestHandler {
  public:
    explicit AdminHandler(const ss::ServerBase& watched, ss::MetricLabels labels = {})
        : watched_{watched}, labels_{std::move(labels)} {}

  private:
    void handle() override {
        const std::string request{rfile().readline(4096)};
        bool takes_openmetrics = false;  // of the headers only this one matters here
        for (std::string_view header; (header = rfile().readline(4096)).size() > 2;) {
            takes_openmetrics |= header.find("application/openmetrics-text") != header.npos;
        }
        if (request.starts_with("GET /metrics ")) {
            const ss::Statistics statistics = watched_.statistics();
            takes_openmetrics ? answer("200 OK", ss::openmetrics_text(statistics, labels_),
                                       ss::openmetrics_content_type)
                              : answer("200 OK", ss::prometheus_text(statistics, labels_),
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
    const ss::MetricLabels labels_;
};
// [admin]
