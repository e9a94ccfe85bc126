// SPDX-License-Identifier: MIT
// What docs/guide/datagrams.md shows, each run once.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <random>
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

// [reply_path]
class TimerHandler : public ss::DatagramRequestHandler {
  public:
    explicit TimerHandler(std::promise<ss::ReplyPath>& path) : path_{path} {}

  private:
    void handle() override {
        path_.set_value(request().reply_path(client_address()));
        wfile().write("wait\n");
    }
    std::promise<ss::ReplyPath>& path_;
};
// [reply_path]

/// Nobody can know it who does not receive what is sent to the address. A real one is made with a
/// key, from the address and the time.
std::string cookie_for(const ss::Address& client_address) {
    static const std::size_t secret = std::random_device{}();
    return fmt::format("{:016x}", std::hash<std::string>{}(client_address.to_string()) ^ secret);
}

// [proved]
class CookieHandler : public ss::DatagramRequestHandler {
    /// "hello" gets a cookie, and who sends it back gets the answer, however long it is.
    void handle() override {
        const std::string cookie = cookie_for(client_address());
        if (request().data() != cookie) {
            wfile().write(cookie);
            return;
        }
        request().set_source_proved(client_address());
        wfile().write(std::string(1000, 'x'));
    }
};
// [proved]

class UpperHandler : public ss::DatagramRequestHandler {
    void handle() override {
        for (const char c : request().data()) {
            wfile().print("{}", c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
        }
    }
};

/// Adds what its client has sent so far. The client's datagrams all come to the same worker.
class AddHandler : public ss::DatagramRequestHandler {
    void handle() override {
        static std::map<ss::Address, int> sums;  // of this worker
        wfile().print("{}", sums[client_address()] += std::stoi(request().data()));
    }
};

// [reply_delay]
class UpperServer : public ss::UDPServer<UpperHandler> {
  public:
    explicit UpperServer(const ss::Address& address)
        : UDPServer{address, {.max_reply_delay = std::chrono::microseconds{100}}} {}
};
// [reply_delay]

// [socket_per_worker]
class AddServer : public ss::UDPServer<AddHandler, ss::PreforkMixIn> {
  public:
    explicit AddServer(const ss::Address& address)
        : UDPServer{address, {.socket_per_worker = true}} {
        workers = 2;
    }
};
// [socket_per_worker]

// [sessions]
/// Sends a file in blocks, each again until the client has acknowledged it.
class TransferHandler : public ss::BaseRequestHandler<> {
    void handle() override {
        const std::string name = request().recv(512);
        request().settimeout(std::chrono::seconds{1});
        for (int block = 1; block <= 3; ++block) {
            std::string reply;
            while (reply != fmt::format("ack {}", block)) {
                request().sendall(fmt::format("{} block {}", name, block));
                try {
                    reply = request().recv(512);
                    if (reply.empty()) return;  // the session is over
                } catch (const ss::TimeoutError&) {
                    continue;  // the block, or its acknowledgement, was lost: once more
                }
            }
        }
    }
};
using TransferServer = ss::UDPSessionServer<TransferHandler, ss::ThreadingMixIn>;
// [sessions]

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

void reply_later() {
    std::promise<ss::ReplyPath> path;
    ss::UDPServer<TimerHandler> server{{"", 0}, {}, [&] { return TimerHandler{path}; }};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    ss::Socket client = client_of({"127.0.0.2", server.server_address().port()});
    client.sendall("now");
    check(client.recv(100), "wait\n");
    path.get_future().get().send("done\n");
    check(client.recv(100), "done\n");
}

void prove_the_address() {
    ss::UDPServer<CookieHandler> server{{"127.0.0.1", 0}, {.max_amplification = 3}};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    ss::Socket client = client_of(server.server_address());
    client.sendall("hello, padded");
    client.sendall(client.recv(100));
    check(client.recv(2000), std::string(1000, 'x'));
}

/// All are in the queue before the server begins.
void reply_together() {
    UpperServer server{{"127.0.0.1", 0}};
    ss::Socket client = client_of(server.server_address());
    constexpr int datagrams = 40;
    for (int i = 0; i < datagrams; ++i) client.sendall(fmt::format("number {}", i));
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    for (int i = 0; i < datagrams; ++i) check(client.recv(100), fmt::format("NUMBER {}", i));
}

void add_in_workers() {
    AddServer server{{"127.0.0.1", 0}};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    // What comes before there are several sockets waits in the first one.
    while (server.worker_pids().empty()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    for (int i = 0; i < 8; ++i) {
        ss::Socket client = client_of(server.server_address());
        for (const char* sum : {"5", "10", "15"}) {
            client.sendall("5");
            check(client.recv(100), sum);
        }
    }
}

void transfer() {
    TransferServer server{{"127.0.0.1", 0}};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    ss::Socket client = client_of(server.server_address());
    client.sendall("file");
    for (const char* number : {"1", "2", "3"}) {
        check(client.recv(100), std::string{"file block "} + number);
        client.sendall(std::string{"ack "} + number);
    }
}

}  // namespace

int main() {
    ask_at_two_addresses();
    reply_later();
    prove_the_address();
    reply_together();
    add_in_workers();
    transfer();
}
