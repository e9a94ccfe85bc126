// SPDX-License-Identifier: MIT
// Replies that are withheld: max_amplification and max_reply_rate, under every policy.
#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/network_namespace.hpp"
#include "support/policies.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber_mixin.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Replies with ten times as much. Who sends "proof" back has proved itself.
class TenTimes : public DatagramRequestHandler {
    void handle() override {
        const std::string& data = request().data();
        if (data == "proof") request().set_source_proved(client_address());
        for (int i = 0; i < 10; ++i) wfile().write(data);
    }
};

template <template <class> class MixIn>
using Server = UDPServer<TenTimes, MixIn>;

std::string reply_to(Socket& client, const std::string& data) {
    client.sendall(data);
    return client.recv(100);
}

template <template <class> class MixIn>
void withholds_what_is_too_much() {
    Server<MixIn> server{any_port, {.max_amplification = 3}};
    ServingThread serving{server, 10ms};
    Socket client = connect(server.server_address(), SocketType::datagram);
    client.sendall("12345");  // 50 bytes are not sent for 5
    CHECK(eventually([&] { return server.statistics().replies_withheld == 1; }));
    CHECK(reply_to(client, "proof") == "proofproofproofproofproofproofproofproofproofproof");
    CHECK(reply_to(client, "1") == "1111111111");
    CHECK(server.statistics().replies_withheld == 1);
    CHECK(server.statistics().replies_failed == 0);
    CHECK(eventually([&] { return server.statistics().served() == 3; }));
}

template <template <class> class MixIn>
void withholds_what_is_too_often() {
    Server<MixIn> server{any_port, {.max_reply_rate = 1}};
    ServingThread serving{server, 10ms};
    Socket client = connect(server.server_address(), SocketType::datagram);
    CHECK(reply_to(client, "1") == "1111111111");
    for (int i = 0; i < 20; ++i) client.sendall("2");
    CHECK(eventually([&] { return server.statistics().closed() == 21; }));
    const Statistics statistics = server.statistics();
    CHECK(statistics.replies_withheld > 0);
    CHECK(statistics.replies_failed == 0);
    CHECK(statistics.served() == 21);
}

/// Sends a datagram that names a false source.
class Liar {
  public:
    explicit Liar(const Address& to) : to_{to} {
        if (socket_ == -1) throw std::runtime_error("a raw socket");
    }
    Liar(const Liar&) = delete;
    Liar& operator=(const Liar&) = delete;
    ~Liar() { ::close(socket_); }

    void send(in_addr_t from, std::uint16_t port, std::string_view data) const {
        struct Packet {
            iphdr ip{};
            udphdr udp{};
            std::array<char, 100> data{};
        } packet;
        const std::size_t size = sizeof packet.ip + sizeof packet.udp + data.size();
        packet.ip.version = 4;
        packet.ip.ihl = 5;
        packet.ip.ttl = 64;
        packet.ip.protocol = IPPROTO_UDP;
        packet.ip.saddr = htonl(from);
        packet.ip.daddr = htonl(INADDR_LOOPBACK);
        packet.udp.source = htons(port);
        packet.udp.dest = htons(to_.port());
        packet.udp.len = htons(static_cast<std::uint16_t>(sizeof packet.udp + data.size()));
        data.copy(packet.data.data(), packet.data.size());  // without a checksum, which is optional
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = packet.ip.daddr;
        const auto sent = ::sendto(socket_, &packet, size, 0,
                                   reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (sent != static_cast<ssize_t>(size)) throw std::runtime_error("send a raw packet");
    }

  private:
    const Address to_;
    const int socket_ = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
};

std::size_t bytes_of(Socket& victim) {
    std::size_t sum = 0;
    victim.settimeout(1ms);
    try {
        for (;;) sum += victim.recv(1000).size();
    } catch (const TimeoutError&) {
        return sum;
    }
}

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
}

/// In a network of its own.
void attack_victims() {
    if (!enter_network_namespace()) {
        std::fputs("no namespace", stderr);
        return;
    }
    constexpr int datagrams = 30;
    UDPServer<TenTimes> server{any_port, {.max_amplification = 3, .max_reply_rate = 5}};
    ServingThread serving{server};
    const Liar liar{server.server_address()};
    // Two in one network, to which few replies are sent; the third has another one.
    constexpr in_addr_t network = 0x7F000100;  // 127.0.1.0
    Socket one{Address{"127.0.1.1", 0}, SocketType::datagram};
    one.bind({"127.0.1.1", 0});
    Socket neighbour{Address{"127.0.1.2", 0}, SocketType::datagram};
    neighbour.bind({"127.0.1.2", 0});
    Socket honest{Address{"127.0.2.1", 0}, SocketType::datagram};
    honest.bind({"127.0.2.1", 0});
    honest.settimeout(patience);
    for (int i = 0; i < datagrams; ++i) {
        liar.send(network + 1, one.getsockname().port(), "12345");
        liar.send(network + 2, neighbour.getsockname().port(), "1");
    }
    require(eventually([&] { return server.statistics().closed() == 2 * datagrams; }), "served");
    const std::size_t got = bytes_of(one);
    const std::size_t neighbour_got = bytes_of(neighbour);
    require(got <= datagrams * 5 * 3, "more than three times as much");
    require(neighbour_got <= datagrams * 3, "more than three times as much, to the neighbour");
    require(got + neighbour_got > 0, "nothing at all");
    // Both sent 60 datagrams at once: five replies, and one for each 200 ms that it took.
    require(got / 50 + neighbour_got / 10 < datagrams / 2, "more replies than the rate allows");
    require(server.statistics().replies_withheld >= datagrams, "not counted");
    // Somebody who really is there.
    honest.sendto("proof", server.server_address());
    require(honest.recv(100).size() == 50, "the reply to who has proved itself");
}

}  // namespace

TEST_CASE("a reply that is too much for its source is withheld, without an error") {
    under_every_policy([]<template <class> class MixIn>() { withholds_what_is_too_much<MixIn>(); });
}

TEST_CASE("replies beyond the rate of a network are withheld, without an error") {
    under_every_policy(
        []<template <class> class MixIn>() { withholds_what_is_too_often<MixIn>(); });
}

TEST_CASE("by default nothing is withheld") {
    const TimeLimit limit;
    UDPServer<TenTimes> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    for (int i = 0; i < 20; ++i) CHECK(reply_to(client, "12345").size() == 50);
    CHECK(server.statistics().replies_withheld == 0);
}

TEST_CASE("a late reply counts as well") {
    const TimeLimit limit;
    class Late : public BaseRequestHandler<Datagram> {
        void handle() override {
            const ReplyPath path = request().reply_path(client_address());
            path.send(std::string(3, 'x'));
            path.send("y");
        }
    };
    UDPServer<Late> server{any_port, {.max_amplification = 3}};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    CHECK(reply_to(client, "?") == "xxx");
    CHECK(eventually([&] { return server.statistics().replies_withheld == 1; }));
}

TEST_CASE("victims whose address is named falsely are sent little") {
    const TimeLimit limit;
    const auto end = in_child(attack_victims);
    if (end.text == "no namespace") {
        WARN("no network namespace can be made here");
    } else {
        CHECK(end.text == "");
        CHECK(end.exited_with(0));
    }
}
