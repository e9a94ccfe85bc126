// SPDX-License-Identifier: MIT
// One of several servers behind a balancer: it counts in Redis, which all of them share, and tells
// the balancer on a second port whether it wants new clients. README.md here shows the whole.
// cluster_node <address> <port> <admin port> <redis> <redis port> <proxies> <version> <cert> <key>
// where <proxies> is the network whose clients bring a header of the PROXY protocol, or "none".
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/tls_server.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace ss = socketserver;
using namespace std::chrono_literals;

// [node]
/// What all servers of the cluster share. Each connection of a client has a connection of its own
/// to Redis, made at its first request.
class Shared {
  public:
    explicit Shared(const ss::Address& redis) : redis_{redis} {}

    /// Adds one to the count of all servers, and returns it.
    std::string count() {
        if (!connection_) {
            connection_.emplace(ss::create_connection(redis_, ss::SocketType::stream, 1s));
            connection_->settimeout(2s);
            reader_.emplace(*connection_);
        }
        connection_->sendall("INCR count\r\n");
        const std::string answer{reader_->readline(64)};
        if (!answer.starts_with(':')) throw std::runtime_error("Redis answered " + answer);
        return answer.substr(1, answer.find('\r') - 1);
    }

  private:
    ss::Address redis_;
    std::optional<ss::Socket> connection_{};
    std::optional<ss::BufferedReader> reader_{};
};

/// Answers each line with the count, the version of this server and the address of the client.
class CountHandler : public ss::StreamRequestHandler {
  public:
    CountHandler(const ss::Address& redis, std::string version)
        : shared_{redis}, version_{std::move(version)} {}

  private:
    void handle() override {
        for (std::string_view line : rfile()) {
            if (line != "count\n") return;
            wfile().print("{} {} {}\n", shared_.count(), version_, client_address().host());
        }
    }

    Shared shared_;
    std::string version_;
};

/// Says whether new clients are welcome. HAProxy takes 404 for "no new ones, but those that are
/// there may stay" (`http-check disable-on-404`).
class ReadyHandler : public ss::StreamRequestHandler {
  public:
    explicit ReadyHandler(const std::atomic<bool>& leaves) : leaves_{leaves} {}

  private:
    void handle() override {
        while (rfile().readline(4096).size() > 2) {
        }  // the request and its headers: there is one question
        wfile().print("HTTP/1.0 {}\r\nContent-Length: 0\r\n\r\n",
                      leaves_ ? "404 Leaving" : "200 OK");
    }
    const std::atomic<bool>& leaves_;
};

/// Waits for SIGTERM or SIGINT, and drains when the balancer has had time to hear of it: until then
/// it goes on sending new clients.
void leave_on_signal(ss::ServerBase& server, const sigset_t& signals, std::atomic<bool>& leaves) {
    int signal = 0;
    ::sigwait(&signals, &signal);
    leaves = true;
    std::this_thread::sleep_for(600ms);  // three of its checks
    server.drain(10s);
}

using Server = ss::TLSServer<ss::ThreadingTCPServer<CountHandler>>;
// [node]

int main(int argc, char** argv) {
    if (argc != 10) {
        fmt::print(stderr,
                   "usage: cluster_node <address> <port> <admin port> <redis address> <redis port> "
                   "<network of the proxies> <version> <certificate> <key>\n");
        return 2;
    }
    // Of all threads, which are made later: leave_on_signal() waits for them.
    sigset_t signals{};
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::atomic<bool> leaves{false};

    const std::string host = argv[1], proxies = argv[6], version = argv[7];
    const ss::Address redis{argv[4], ss::parse_port(argv[5])};
    ss::ServerOptions options{
        .allow_reuse_address = true, .idle_timeout = 60s, .request_timeout = 5s};
    if (proxies != "none") {
        options.proxy_protocol = ss::ProxyProtocol::only_from_networks;
        options.proxy_networks = {proxies};
    }
    Server server{
        {host, ss::parse_port(argv[2])}, {.certfile = argv[8], .keyfile = argv[9]}, options, [&] {
            return CountHandler{redis, version};
        }};
    ss::TCPServer<ReadyHandler> admin{{host, ss::parse_port(argv[3])},
                                      {.allow_reuse_address = true, .request_timeout = 1s},
                                      [&] { return ReadyHandler{leaves}; }};
    const std::jthread watching{[&](std::stop_token stop) { admin.serve_forever(stop); }};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    leave_on_signal(server, signals, leaves);
}
