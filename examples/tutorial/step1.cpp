// SPDX-License-Identifier: MIT
// Tutorial, step 1: a server that says one line.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

// [step1]
namespace ss = socketserver;

class QuoteHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().write("Well begun is half done.\n"); }
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::TCPServer<QuoteHandler> server{{"localhost", port}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
// [step1]
