// SPDX-License-Identifier: MIT
// What docs/guide/stopping.md shows, run once.
#include <socketserver/socketserver.hpp>

#include <csignal>
#include <thread>

namespace ss = socketserver;
using namespace std::chrono_literals;

namespace {

// [handler]
class QuitHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            if (line == "quit\n") return server().shutdown();
            wfile().write(line);
        }
    }
};
// [handler]

void quit(const ss::Address& address) {
    ss::Socket client = ss::create_connection(address);
    client.settimeout(std::chrono::seconds{10});
    client.sendall("quit\n");
    client.recv(1);
}

template <class Server>
void stop_from_a_handler() {
    Server server{{"127.0.0.1", 0}};
    const std::jthread client{[&] { quit(server.server_address()); }};
    server.serve_forever();
}

void stop_by_token() {
    // [token]
    ss::ThreadingTCPServer<QuitHandler> server{{"localhost", 0}};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    // ... and at the end of the scope the thread is told to stop, and joined
    // [token]
}

/// A client that is idle when it has been served once, and the signal comes.
std::jthread idle_client_and_signal(const ss::Address& address) {
    return std::jthread{[address] {
        ss::Socket idle = ss::create_connection(address);
        idle.sendall("hello\n");
        idle.recv(6);
        std::raise(SIGTERM);
        idle.recv(1);  // the end: this client owed the next request
    }};
}

void drain_by_signal() {
    ss::ThreadingTCPServer<QuitHandler> server{{"localhost", 0}};
    const std::jthread client = idle_client_and_signal(server.server_address());
    // [drain]
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{10s}};
    server.serve_forever();  // returns when the server is drained
    // [drain]
}

void close_by_signal() {
    ss::ThreadingTCPServer<QuitHandler> server{{"localhost", 0}};
    const std::jthread client = idle_client_and_signal(server.server_address());
    // [close_within]
    const ss::ShutdownOnSignal signals{server, ss::CloseWithin{1min}};
    server.serve_forever();  // returns after the signal
    server.server_close();   // waits for busy clients, for a minute at most
    // [close_within]
}

}  // namespace

int main() {
    stop_from_a_handler<ss::TCPServer<QuitHandler>>();
    stop_from_a_handler<ss::ThreadingTCPServer<QuitHandler>>();
    stop_from_a_handler<ss::ForkingTCPServer<QuitHandler>>();
    stop_by_token();
    close_by_signal();
    drain_by_signal();
}
