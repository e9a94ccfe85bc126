// SPDX-License-Identifier: MIT
// A transport of one's own, as transport.hpp has it: what the library does with it. That it is
// served by every policy is tested with the program examples/own_transport.cpp.
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

Socket packet_socket() { return Socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)}; }

/// Unix SOCK_SEQPACKET, with what a transport must say and nothing else: a drain cannot keep
/// clients out of the queue.
class PacketTransport final : public ConnectionTransport {
  public:
    int socket_type() const noexcept override { return SOCK_SEQPACKET; }
    void check_address(const Address& address) const override {
        if (address.is_unix()) return;
        throw std::system_error(std::make_error_code(std::errc::address_family_not_supported),
                                address.to_string());
    }
    Socket open(const Address&) const override { return packet_socket(); }
};

/// Echoes each packet.
class EchoPackets : public BaseRequestHandler<> {
    void handle() override {
        for (std::string packet = request().recv(65536); !packet.empty();
             packet = request().recv(65536)) {
            request().sendall(packet);
        }
    }
};

using PacketServer = TransportServer<EchoPackets, ThreadingMixIn, PacketTransport>;

Socket connect_packets(const Address& address) {
    Socket client = packet_socket();
    client.settimeout(patience);
    client.connect(address);
    return client;
}

Address own_path() { return Address{"/tmp/" + own_name("packets")}; }

/// Receives from a descriptor beside the connection; the packets that come meanwhile are queued.
class HeldHandler : public BaseRequestHandler<> {
  public:
    explicit HeldHandler(Socket& gate) : gate_{&gate} {}

  private:
    void handle() override {
        // After a first wait whoever carries this handler watches the connection.
        request().settimeout(10ms);
        bool has_waited = false;
        try {
            request().recv(1);
        } catch (const TimeoutError&) {
            has_waited = true;
        }
        request().settimeout({});
        request().sendall(has_waited ? "hold" : "was not made to wait");
        gate_->recv(1);
        for (int i = 0; i < 3; ++i) request().sendall(request().recv(65536));
    }

    Socket* gate_;
};

template <template <class> class MixIn>
void check_queued_packets() {
    const TimeLimit limit;
    Pair gate = unix_pair();
    TransportServer<HeldHandler, MixIn, PacketTransport> server{
        own_path(), {}, [&gate] { return HeldHandler{gate.far}; }};
    ServingThread serving{server};
    Socket client = connect_packets(server.server_address());
    CHECK(client.recv(100) == "hold");
    for (const char* packet : {"a", "bb", "ccc"}) client.sendall(packet);
    gate.near.sendall("x");
    CHECK(client.recv(100) == "a");
    CHECK(client.recv(100) == "bb");
    CHECK(client.recv(100) == "ccc");
    CHECK(client.recv(100).empty());
}

}  // namespace

TEST_CASE("a server on a transport of one's own") {
    const TimeLimit limit;
    const Counts before;
    const Address path = own_path();
    {
        PacketServer server{path};
        CHECK(server.server_address() == path);
        ServingThread serving{server};
        Socket client = connect_packets(path);
        client.sendall("one");
        client.sendall("two");
        CHECK(client.recv(100) == "one");
        CHECK(client.recv(100) == "two");
        server.shutdown();
        client.close();
        server.server_close();
    }
    CHECK_FALSE(std::filesystem::exists(path.path()));
    CHECK(before.are_back());
}

TEST_CASE("packets that are queued are received one by one: threads") {
    check_queued_packets<ThreadingMixIn>();
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("packets that are queued are received one by one: fibers") {
    check_queued_packets<FiberMixIn>();
}
#endif

TEST_CASE("an address that the transport does not have is refused") {
    CHECK(error_of([] { const PacketServer server{any_port}; }) == EAFNOSUPPORT);
}

TEST_CASE("a socket is adopted if it is of the transport's type") {
    const TimeLimit limit;
    const Address path = own_path();
    CHECK(error_of([&] {
              const PacketServer server{Socket{path, SocketType::stream}};
          }) == EPROTOTYPE);
    Socket bound = packet_socket();
    bound.bind(path);
    {
        PacketServer server{std::move(bound)};  // it listens now
        ServingThread serving{server};
        Socket client = connect_packets(path);
        client.sendall("one");
        CHECK(client.recv(100) == "one");
    }
    std::filesystem::remove(path.path());
}

TEST_CASE("the path of a transport of one's own is treated as that of a Unix server") {
    const TimeLimit limit;
    const Address path = own_path();
    {
        Socket left = packet_socket();
        left.bind(path);
    }
    PacketServer server{path};  // takes the place of what was left
    CHECK(error_of([&] { const PacketServer other{path}; }) == EADDRINUSE);
    CHECK(error_of([&] { const UnixStreamServer<StreamEcho> other{path}; }) == EADDRINUSE);
    ServingThread serving{server};
    Socket client = connect_packets(path);
    client.sendall("one");
    CHECK(client.recv(100) == "one");
}

TEST_CASE("a drain serves the queue of a transport that cannot keep clients out of it") {
    const TimeLimit limit;
    PacketServer server{own_path()};
    const Address path = server.server_address();
    std::vector<Socket> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(connect_packets(path));
        clients.back().sendall("queued");
    }
    const DrainReport report = server.drain(20s);
    CHECK(report.finished + report.idle_closed == 3);
    CHECK(report.remaining == 0);
    for (Socket& client : clients) {
        CHECK(client.recv(100) == "queued");
        CHECK(client.recv(100).empty());
    }
    CHECK(server.fileno() == -1);
    CHECK_FALSE(std::filesystem::exists(path.path()));
}
