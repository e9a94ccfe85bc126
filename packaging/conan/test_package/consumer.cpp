// SPDX-License-Identifier: MIT
// One request to a server, through the package.
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

int main() {
    ss::TCPServer<EchoHandler> server{{"127.0.0.1", 0}};
    ss::Socket client = ss::create_connection(server.server_address());
    client.sendall("hello\n");
    server.handle_request();
    return client.recv(64) == "hello\n" ? 0 : 1;
}
