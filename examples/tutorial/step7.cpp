// SPDX-License-Identifier: MIT
// Tutorial, step 7: Ctrl-C ends the server in order.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include "quotes.hpp"

namespace ss = socketserver;

// [main]
int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    Quotes quotes;
    ss::ThreadingTCPServer<QuoteHandler> server{
        {"localhost", port}, {.allow_reuse_address = true}, [&] { return QuoteHandler{quotes}; }};
    const ss::ShutdownOnSignal signals{server};  // SIGINT (Ctrl-C) and SIGTERM

    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();  // returns after the signal
    server.server_close();   // lets the requests finish that are being served
    fmt::print("{} quotes at the end\n", quotes.count());
}
// [main]
