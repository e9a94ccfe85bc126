// SPDX-License-Identifier: MIT
// What docs/guide/datagrams.md shows, each run once.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace ss = socketserver;

namespace {

// [local_address]
class WhereHandler : public ss::DatagramRequestHandler {
    void handle() override {
        wfile().print("you asked {} by interface {}\n", request().local_address().host(),
                      request().interface_index());
    }
};
// [local_address]

void check(std::string_view got, std::string_view expected) {
    if (got != expected) throw std::runtime_error(fmt::format("{} instead of {}", got, expected));
}

ss::Socket client_of(const ss::Address& address) {
    return ss::create_connection(address, ss::SocketType::datagram, std::chrono::seconds{10});
}

void ask_at_two_addresses() {
    ss::UDPServer<WhereHandler> server{{"", 0}};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    for (const std::string host : {"127.0.0.1", "127.0.0.2"}) {
        ss::Socket client = client_of({host, server.server_address().port()});
        client.sendall("where?");
        check(client.recv(100), "you asked " + host + " by interface 1\n");
    }
}

}  // namespace

int main() { ask_at_two_addresses(); }
