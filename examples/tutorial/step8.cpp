// SPDX-License-Identifier: MIT
// Tutorial, step 8: the same quotes over TCP, UDP and a Unix socket.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <thread>

#include "quotes.hpp"

namespace ss = socketserver;

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const char* path = argc > 2 ? argv[2] : "/tmp/quotes.sock";
    // [main]
    Quotes quotes;
    const auto make_handler = [&] { return QuoteHandler{quotes}; };
    ss::ThreadingTCPServer<QuoteHandler> tcp{{"localhost", port}, {}, make_handler};
    ss::ThreadingUnixStreamServer<QuoteHandler> local{path, {.unix_mode = 0600}, make_handler};
    ss::UDPServer<QuoteDatagramHandler> udp{
        {"localhost", port}, {}, [&] { return QuoteDatagramHandler{quotes}; }};

    const ss::ShutdownOnSignal signals{tcp};
    fmt::print(stderr, "serving on {}\nserving on {}\nserving on {}\n", tcp.server_address(),
               local.server_address(), udp.server_address());
    const std::jthread serve_local{[&](std::stop_token stop) { local.serve_forever(stop); }};
    const std::jthread serve_udp{[&](std::stop_token stop) { udp.serve_forever(stop); }};
    tcp.serve_forever();  // when it returns, the two threads are told to stop, and waited for
    // [main]
}
