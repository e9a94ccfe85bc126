// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <system_error>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/network_namespace.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

/// A group of this process alone, of the range for private use (RFC 2365): the kernel gives a
/// socket what comes for any group that some process has joined.
Address own_group(int number) {
    const int process = ::getpid();
    return {"239.255." + std::to_string(process / 127 % 256) + "." +
                std::to_string(2 * (process % 127) + number),
            0};
}

const Address group = own_group(0);
const Address other_group = own_group(1);
const MulticastGroup on_lo{.group = group, .interface = "lo"};

Socket receiver(const Address& address = {"", 0}) {
    Socket socket{address, SocketType::datagram};
    socket.bind(address);
    socket.settimeout(patience);
    return socket;
}

Socket sender(const Address& address = any_port) {
    Socket socket{address, SocketType::datagram};
    socket.bind(address);
    socket.settimeout(patience);
    socket.set_multicast_interface("lo");
    return socket;
}

Address port_of(const Socket& socket, const Address& address) {
    return {address.host(), socket.getsockname().port()};
}

/// What a socket receives before a datagram that is sent to it alone, after all others.
std::string received(Socket& socket, const Address& at = any_port) {
    Socket marker{at, SocketType::datagram};
    marker.sendto("end", port_of(socket, at));
    std::string all;
    for (std::string each; (each = socket.recvfrom(100).first) != "end";) all += each + ' ';
    return all;
}

std::error_code error_of(auto operation) {
    try {
        operation();
    } catch (const std::system_error& error) {
        return error.code();
    }
    return {};
}

}  // namespace

TEST_CASE("a socket receives a group from joining it to leaving it") {
    const TimeLimit limit;
    Socket in = receiver();
    Socket out = sender();
    const Address to = port_of(in, group);
    out.sendto("before", to);
    in.join_group(on_lo);
    out.sendto("joined", to);
    CHECK(received(in) == "joined ");
    in.leave_group(on_lo);
    out.sendto("left", to);
    CHECK(received(in).empty());
}

TEST_CASE("a socket receives no group that only another one has joined") {
    const TimeLimit limit;
    Socket other = receiver();
    other.join_group(on_lo);
    Socket in = receiver();
    in.join_group({.group = other_group, .interface = "lo"});
    Socket out = sender();
    out.sendto("not joined", port_of(in, group));
    out.sendto("joined", port_of(in, other_group));
    CHECK(received(in) == "joined ");
}

TEST_CASE("a source-specific membership receives that source") {
    const TimeLimit limit;
    Socket in = receiver();
    const MulticastGroup from_2{
        .group = group, .interface = "lo", .source = Address{"127.0.0.2", 0}};
    in.join_group(from_2);
    Socket of_2 = sender({"127.0.0.2", 0});
    Socket of_3 = sender({"127.0.0.3", 0});
    const Address to = port_of(in, group);
    of_3.sendto("three", to);
    of_2.sendto("two", to);
    CHECK(received(in) == "two ");
    SECTION("and another one") {
        in.join_group({.group = group, .interface = "lo", .source = Address{"127.0.0.3", 0}});
        of_3.sendto("three", to);
        CHECK(received(in) == "three ");
    }
    SECTION("until it leaves") {
        in.leave_group(from_2);
        of_2.sendto("two", to);
        CHECK(received(in).empty());
    }
}

TEST_CASE("a socket on \"::\" joins groups of both versions, and the loop may be closed") {
    const auto end = in_child([] {
        if (!enter_network_namespace() || !add_interface("192.0.2.1")) {
            return write_text("no interface");
        }
        if (!eventually([] { return has_ipv6_addresses("net0"); }))
            throw std::runtime_error("wait");
        Socket in = receiver({"::", 0});
        in.join_group({.group = group, .interface = "net0"});
        in.join_group({.group = Address{"ff02::1234%net0", 0}});
        Socket out = receiver({"::", 0});
        out.set_multicast_interface("net0");
        const Address to_4{"::ffff:" + group.host(), in.getsockname().port()};
        const Address to_6{"ff02::1234", in.getsockname().port()};
        for (const bool loop : {true, false}) {
            out.set_multicast_loop(loop);
            out.sendto("four", to_4);
            out.sendto("six", to_6);
            out.sendto("other", {"ff02::1235", in.getsockname().port()});
            const std::string got = received(in, Address{"::1", 0});
            if (got != (loop ? "four six " : "")) throw std::runtime_error(got);
        }
    });
    if (end.text == "no interface") {
        WARN("no network namespace with an interface can be made here");
    } else {
        CHECK(end.text == "");
        CHECK(end.exited_with(0));
    }
}

TEST_CASE("a handler sees which group a datagram was sent to, and its reply comes from a host") {
    const TimeLimit limit;
    class Where : public DatagramRequestHandler {
        void handle() override { wfile().print("{}", request().local_address().host()); }
    };
    for (const std::string wildcard : {"0.0.0.0", "::"}) {
        UDPServer<Where> server{Address{wildcard, 0}};
        server.socket().join_group(on_lo);
        ServingThread serving{server};
        Socket client = sender();
        client.sendto("?", port_of(server.socket(), group));
        const auto [reply, from] = client.recvfrom(100);
        CHECK(reply == (wildcard == "::" ? "::ffff:" : "") + group.host());
        CHECK(from == Address{"127.0.0.1", server.server_address().port()});
    }
}

TEST_CASE("what is wrong with a membership is said with the name of the group") {
    Socket socket = receiver();
    socket.join_group(on_lo);
    CHECK_THROWS_WITH(socket.join_group(on_lo),
                      StartsWith("join the group " + group.host() + " on lo"));
    CHECK(error_of([&] { socket.join_group(on_lo); }) == std::errc::address_in_use);
    CHECK(error_of([&] { socket.leave_group({.group = other_group, .interface = "lo"}); }) ==
          std::errc::address_not_available);
    CHECK(error_of([&] { socket.join_group({.group = any_port, .interface = "lo"}); }) ==
          std::errc::invalid_argument);
    CHECK_THROWS_WITH(socket.join_group({.group = group, .interface = "no such"}),
                      ContainsSubstring("there is no network interface \"no such\""));
    CHECK_THROWS_WITH(socket.join_group({.group = Address{"a.group", 0}}),
                      ContainsSubstring("a.group:0 is no IP address"));
    CHECK_THROWS_WITH(socket.join_group({.group = Address{"@path"}}),
                      ContainsSubstring("@path is no IP address"));
    CHECK_THROWS_WITH(socket.set_multicast_interface("no such"),
                      ContainsSubstring("there is no network interface"));
}

TEST_CASE("an interface may be named by its number") {
    Socket socket = receiver();
    const std::string number = std::to_string(::if_nametoindex("lo"));
    socket.join_group({.group = group, .interface = number});
    socket.leave_group(on_lo);
    socket.set_multicast_interface(number);
}

TEST_CASE("TTL and loop of a socket are set for the versions that it has") {
    Socket of_4{Address{"", 0}, SocketType::datagram};
    of_4.set_multicast_ttl(17);
    of_4.set_multicast_loop(false);
    CHECK(of_4.getsockopt(IPPROTO_IP, IP_MULTICAST_TTL) == 17);
    CHECK(of_4.getsockopt(IPPROTO_IP, IP_MULTICAST_LOOP) == 0);
    of_4.set_multicast_loop(true);
    CHECK(of_4.getsockopt(IPPROTO_IP, IP_MULTICAST_LOOP) == 1);

    Socket of_6{Address{"::", 0}, SocketType::datagram};
    of_6.set_multicast_ttl(0);
    of_6.set_multicast_loop(false);
    CHECK(of_6.getsockopt(IPPROTO_IPV6, IPV6_MULTICAST_HOPS) == 0);
    CHECK(of_6.getsockopt(IPPROTO_IP, IP_MULTICAST_TTL) == 0);
    CHECK(of_6.getsockopt(IPPROTO_IPV6, IPV6_MULTICAST_LOOP) == 0);
    CHECK(of_6.getsockopt(IPPROTO_IP, IP_MULTICAST_LOOP) == 0);

    for (const int wrong : {-1, 256}) {
        CHECK_THROWS_WITH(of_4.set_multicast_ttl(wrong), StartsWith("set IP_MULTICAST_TTL"));
        CHECK_THROWS_WITH(of_6.set_multicast_ttl(wrong), StartsWith("set IP_MULTICAST_TTL"));
    }
}

TEST_CASE("a broadcast needs permission") {
    const TimeLimit limit;
    Socket in = receiver();
    Socket out{any_port, SocketType::datagram};
    const Address everybody = port_of(in, Address{"127.255.255.255", 0});
    CHECK(error_of([&] { out.sendto("refused", everybody); }) == std::errc::permission_denied);
    out.set_broadcast(true);
    out.sendto("allowed", everybody);
    CHECK(received(in) == "allowed ");
    out.set_broadcast(false);
    CHECK(error_of([&] { out.sendto("refused", everybody); }) == std::errc::permission_denied);
}
