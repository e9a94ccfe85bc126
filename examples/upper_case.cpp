// SPDX-License-Identifier: MIT
// The first example of Python's documentation: one receive, one answer, on the bare connection.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <algorithm>
#include <cctype>

namespace ss = socketserver;

// [upper_case]
class UpperHandler : public ss::BaseRequestHandler<> {
    void handle() override {
        std::string data = request().recv(1024);
        std::transform(data.begin(), data.end(), data.begin(),
                       [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        request().sendall(data);
    }
};
// [upper_case]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::TCPServer<UpperHandler> server{{"localhost", port}};
    const ss::ShutdownOnSignal signals{server};  // SIGINT and SIGTERM end serve_forever()
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
