// SPDX-License-Identifier: MIT
// A forking server whose children say who they are, and wait.
#pragma once

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
