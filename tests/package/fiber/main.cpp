// SPDX-License-Identifier: MIT
#include <socketserver/socketserver.hpp>

#include <thread>

namespace ss = socketserver;

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

int main() {
    ss::TCPServer<EchoHandler, ss::FiberMixIn> server{{"127.0.0.1", 0}};
    std::thread serving{[&] { server.serve_forever(); }};
    ss::Socket client = ss::create_connection(server.server_address());
    client.sendall("hello\n");
    const bool ok = client.recv(64) == "hello\n";
    server.shutdown();
    serving.join();
    return ok ? 0 : 1;
}
