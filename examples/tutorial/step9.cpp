// SPDX-License-Identifier: MIT
// Tutorial, step 9: tests of the handlers, without a port and with one.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/testing.hpp>

#include <cstdlib>
#include <thread>

#include "quotes.hpp"

namespace ss = socketserver;

// [check]
void check(std::string_view actual, std::string_view expected) {
    if (actual == expected) return;
    fmt::print(stderr, "expected \"{}\", but got \"{}\"\n", expected, actual);
    std::exit(1);
}

void test_handlers() {
    Quotes quotes;
    check(ss::testing::run_handler<QuoteHandler>("add Time flies.\nget\nget\nsing\n",
                                                 [&] { return QuoteHandler{quotes}; }),
          "added\nWell begun is half done.\nTime flies.\nunknown: sing\n");
    check(ss::testing::run_handler<QuoteDatagramHandler>(
              "get", [&] { return QuoteDatagramHandler{quotes}; })
              .value(),
          "Well begun is half done.\n");
}

void test_server() {
    Quotes quotes;
    ss::ThreadingTCPServer<QuoteHandler> server{
        {"127.0.0.1", 0}, {}, [&] { return QuoteHandler{quotes}; }};
    // However this function ends: the thread is told to stop, and waited for.
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};

    ss::Socket client = ss::create_connection(server.server_address());
    client.settimeout(std::chrono::seconds{10});  // a test must not wait for ever
    client.sendall("get\n");
    client.shutdown(ss::ShutdownHow::write);
    check(ss::BufferedReader{client}.read(), "Well begun is half done.\n");
}

int main() {
    test_handlers();
    test_server();
}
// [check]
