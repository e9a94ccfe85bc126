// SPDX-License-Identifier: MIT
// An upper-case server that logs by syslog(3): a line for each connection when it has ended, one
// for each client that was refused, and what went wrong, with the client it went wrong for. The
// comments say where a span of OpenTelemetry begins and ends. access_log [port] [-v]
// Try: access_log 9999 -v, and: echo hello | nc -N localhost 9999
#include <fmt/format.h>
#include <socketserver/prometheus.hpp>  // for the names of reasons
#include <socketserver/socketserver.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <syslog.h>

namespace ss = socketserver;

// [access_log]
/// syslog(3) takes lines from any thread and any child process.
void log(int priority, const std::string& line) { ::syslog(priority, "%s", line.c_str()); }

std::string text_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& caught) {
        return caught.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

class UpperHandler : public ss::StreamRequestHandler {
    // setup() and finish() run where handle() runs: a span for the connection begins in the one and
    // ends in the other, and is the current one of this thread in between.
    void handle() override {
        for (std::string_view line : rfile()) {
            // A span for each request begins here,
            if (line == "fail\n") throw std::runtime_error("the client asked for it");
            std::string answer{line};
            std::ranges::transform(answer, answer.begin(),
                                   [](unsigned char each) { return std::toupper(each); });
            wfile().write(answer);
            // and ends here.
        }
    }
};

class LoggingServer : public ss::ThreadingTCPServer<UpperHandler> {
  public:
    using TCPServer::TCPServer;
    ~LoggingServer() override { server_close(); }

  protected:
    // The access log. What the client sent, and was sent, is counted in connections() as long as it
    // is there, and in statistics() afterwards.
    void connection_closed(const ss::Address& client_address, ss::CloseReason reason,
                           std::chrono::nanoseconds duration) override {
        const auto seconds = std::chrono::duration<double>{duration}.count();
        log(LOG_INFO,
            fmt::format("{} {} after {:.3f} s", client_address, ss::to_string(reason), seconds));
    }
    void refuse_request(ss::Socket&, const ss::Address& client_address,
                        ss::RefuseCause cause) override {
        log(LOG_NOTICE, fmt::format("{} refused: {}", client_address, ss::to_string(cause)));
    }
    void handle_error(ss::Socket&, const ss::Address& client_address,
                      std::exception_ptr error) override {
        log(LOG_ERR, fmt::format("{}: {}", client_address, text_of(error)));
    }
    // What belongs to no client.
    void handle_server_error(std::exception_ptr error) override {
        log(LOG_CRIT, fmt::format("server: {}", text_of(error)));
    }
    void handle_accept_error(const std::system_error& error) override {
        log(LOG_WARNING, error.what());
    }
};
// [access_log]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const bool also_to_stderr = argc > 2 && std::string_view{argv[2]} == "-v";
    ::openlog("access_log", LOG_PID | (also_to_stderr ? LOG_PERROR : 0), LOG_DAEMON);
    LoggingServer server{{"localhost", port},
                         {.max_connections_per_address = 2, .overload = ss::Overload::close}};
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{std::chrono::seconds{10}}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
