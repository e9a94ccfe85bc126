// SPDX-License-Identifier: MIT
// A library that is loaded and unloaded while the program runs, and serves with fibers.
#include <thread>

#include "socketserver/fiber_mixin.hpp"

namespace {

class Echo : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

}  // namespace

extern "C" [[gnu::visibility("default")]] void serve_one_request() {
    socketserver::FiberTCPServer<Echo> server{{"127.0.0.1", 0}};
    std::thread serving{[&] { server.handle_request(); }};
    // In a thread that ends as well: what the library keeps for a thread keeps it loaded.
    std::thread client{[&] {
        socketserver::Socket socket = socketserver::create_connection(server.server_address());
        socket.sendall("line\n");
        while (!socket.recv(64).empty()) {
        }
    }};
    client.join();
    serving.join();
}
