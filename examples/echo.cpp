// SPDX-License-Identifier: MIT
// The shortest useful server: a line echo with a thread for each connection. Try: nc localhost 9999
// [echo]
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

int main() { socketserver::ThreadingTCPServer<EchoHandler>{{"localhost", 9999}}.serve_forever(); }
// [echo]
