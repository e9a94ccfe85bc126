// SPDX-License-Identifier: MIT
// What docs/guide/concurrency.md shows, run once.
#include <poll.h>
#include <socketserver/socketserver.hpp>

#include <stdexcept>
#include <thread>

namespace ss = socketserver;

namespace {

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

/// The client waits in the kernel's queue until the server serves, and reads when it has stopped:
/// so nothing is allocated here while workers are forked, which AddressSanitizer would not stand.
void check_echo(ss::ServerBase& server) {
    ss::Socket client = ss::create_connection(server.server_address());
    client.sendall("hello\n");
    client.shutdown(ss::ShutdownHow::write);
    {
        const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
        pollfd answer{client.fileno(), POLLIN, 0};
        ::poll(&answer, 1, 10'000);
    }
    client.settimeout(std::chrono::seconds{10});
    if (ss::BufferedReader{client}.read() != "hello\n") throw std::runtime_error("no echo");
}

void pool() {
    // [pool]
    ss::ThreadPoolTCPServer<EchoHandler> server{{"localhost", 0}};
    server.max_threads = 16;
    server.max_queue = 100;
    server.when_full = ss::WhenFull::reset;
    // [pool]
    check_echo(server);
}

void prefork() {
    // [prefork]
    ss::PreforkTCPServer<EchoHandler> one_by_one{{"localhost", 0}};
    one_by_one.workers = 4;
    one_by_one.max_requests = 10'000;

    ss::TCPServer<EchoHandler, ss::PreforkOf<ss::ThreadingMixIn>::MixIn> threads{{"localhost", 0}};
    // [prefork]
    check_echo(one_by_one);
    check_echo(threads);
}

}  // namespace

int main() {
    prefork();
    pool();
}
