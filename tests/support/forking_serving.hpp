// SPDX-License-Identifier: MIT
// A forking server whose children say who they are, and wait.
#pragma once

#include <csignal>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

#include "support/serving.hpp"

namespace socketserver::tests {

using EchoServer = TCPServer<StreamEcho, ForkingMixIn>;

/// Sends its process id, then waits for the end of the client.
class Pid : public StreamRequestHandler {
    void handle() override {
        ::alarm(50);  // a child does not inherit the time limit of the test
        wfile().print("{}\n", ::getpid());
        rfile().read();
    }
};
using PidServer = TCPServer<Pid, ForkingMixIn>;

/// Sends SIGTERM to a child that serves a request of a server whose handlers begin as Pid does.
/// False: it does not end.
inline bool sigterm_ends_a_child(ServerBase& server) {
    Socket client = connect(server.server_address());
    server.handle_request();
    const pid_t child = std::stoi(client.recv(20));
    return ::kill(child, SIGTERM) == 0 && read_to_end(client).empty();
}

/// A client of a Pid. Ends its connection with shutdown(): closing would not, because children that
/// were forked meanwhile have a copy of the test's descriptor.
class PidClient {
  public:
    explicit PidClient(const Address& address) : socket{connect(address)} {}
    PidClient(const PidClient&) = delete;
    PidClient& operator=(const PidClient&) = delete;
    ~PidClient() { end(); }
    pid_t child() { return std::stoi(socket.recv(20)); }
    void end() { ::shutdown(socket.fileno(), SHUT_WR); }

    Socket socket;
};

}  // namespace socketserver::tests
