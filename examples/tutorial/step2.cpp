// SPDX-License-Identifier: MIT
// Tutorial, step 2: a conversation, line by line.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

// [handler]
class QuoteHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            if (line == "get\n") {
                wfile().write("Well begun is half done.\n");
            } else {
                wfile().print("unknown: {}", line);  // the line has its own end
            }
        }
    }
};
// [handler]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::TCPServer<QuoteHandler> server{{"localhost", port}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
