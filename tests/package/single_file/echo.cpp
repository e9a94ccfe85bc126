// SPDX-License-Identifier: MIT
// The nine-line echo, which a program that is compiled in one file serves to itself.
#define SOCKETSERVER_IMPLEMENTATION
#include <socketserver_single.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

int main() {
    socketserver::ThreadingTCPServer<EchoHandler> server{{"localhost", 0}};
    const std::jthread serving{[&] { server.serve_forever(); }};
    socketserver::Socket client = socketserver::create_connection(server.server_address());
    client.sendall("one\ntwo\n");
    const bool same = client.recv_exactly(8) == "one\ntwo\n";
    client.close();
    server.shutdown();
    return same ? 0 : 1;
}
