// SPDX-License-Identifier: MIT
// The echo on a Unix-domain socket: unix_echo [path]. "@name" is a name without a file.
// Try: nc -U /tmp/echo.sock
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

int main(int argc, char** argv) {
    const char* path = argc > 1 ? argv[1] : "/tmp/echo.sock";
    // [unix_echo]
    // Only this user may connect, from the first moment on. The server removes the file at its end.
    ss::ThreadingUnixStreamServer<EchoHandler> server{path, {.unix_mode = 0600}};
    // [unix_echo]
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
