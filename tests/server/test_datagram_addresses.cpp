// SPDX-License-Identifier: MIT
// Which address a datagram was sent to, and that the reply comes from it.
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/in_child.hpp"
#include "support/network_namespace.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber_mixin.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::StartsWith;

/// Says where the datagram arrived.
class Where : public DatagramRequestHandler {
    void handle() override {
        wfile().print("{} {}", request().local_address().host(), request().interface_index());
    }
};

/// The same as Python has it, through the socket.
class WhereBySocket : public BaseRequestHandler<Datagram> {
    void handle() override {
        request().socket().sendto(request().local_address().host(), client_address());
    }
};

std::string lo() { return std::to_string(::if_nametoindex("lo")); }

/// A connected client takes a reply only from the address that it has asked: what does not come
/// from there it never sees.
std::string ask_at(const std::string& host, const ServerBase& server) {
    return ask(Address{host, server.server_address().port()}, "?", SocketType::datagram);
}

template <class Server>
void answers_from_where_it_was_asked(const Address& address) {
    Server server{address};
    ServingThread serving{server};
    for (const std::string host : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
        const std::string seen = address.family() == AddressFamily::inet6 ? "::ffff:" + host : host;
        CHECK(ask_at(host, server) == seen + ' ' + lo());
    }
}

int option(const ServerBase& server, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(server.fileno(), level, name, &value, &size);
    return value;
}

}  // namespace

TEST_CASE("a server on every address answers from the one that was asked") {
    const TimeLimit limit;
    const Address every{"", 0};
    SECTION("synchronous") { answers_from_where_it_was_asked<UDPServer<Where>>(every); }
    SECTION("threading") {
        answers_from_where_it_was_asked<UDPServer<Where, ThreadingMixIn>>(every);
    }
    SECTION("forking") { answers_from_where_it_was_asked<UDPServer<Where, ForkingMixIn>>(every); }
    SECTION("pool") { answers_from_where_it_was_asked<UDPServer<Where, ThreadPoolMixIn>>(every); }
    SECTION("prefork") { answers_from_where_it_was_asked<UDPServer<Where, PreforkMixIn>>(every); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { answers_from_where_it_was_asked<UDPServer<Where, FiberMixIn>>(every); }
#endif
}

TEST_CASE("a server on \"::\" answers IPv4 clients from where they asked, too") {
    const TimeLimit limit;
    answers_from_where_it_was_asked<UDPServer<Where>>(Address{"::", 0});
    UDPServer<Where> server{Address{"::", 0}};
    ServingThread serving{server};
    CHECK(ask_at("::1", server) == "::1 " + lo());
}

TEST_CASE("a reply through the socket comes from where the client asked, too") {
    const TimeLimit limit;
    UDPServer<WhereBySocket> server{Address{"", 0}};
    ServingThread serving{server};
    CHECK(ask_at("127.0.0.2", server) == "127.0.0.2");
    CHECK(ask_at("127.0.0.3", server) == "127.0.0.3");
}

TEST_CASE("what a handler sends to somebody else comes from wherever the kernel likes") {
    const TimeLimit limit;
    class Forward : public BaseRequestHandler<Datagram> {
      public:
        explicit Forward(Address to) : to_{std::move(to)} {}

      private:
        void handle() override { request().socket().sendto(request().data(), to_); }
        Address to_;
    };
    Socket other{any_port, SocketType::datagram};
    other.bind(any_port);
    other.settimeout(patience);
    const Address to = other.getsockname();
    UDPServer<Forward> server{Address{"", 0}, {}, [&] { return Forward{to}; }};
    ServingThread serving{server};
    connect(Address{"127.0.0.2", server.server_address().port()}, SocketType::datagram)
        .sendall("forward this");
    const auto [data, from] = other.recvfrom(100);
    CHECK(data == "forward this");
    CHECK(from.host() == "127.0.0.1");
}

TEST_CASE("a broadcast is answered from the address of the interface") {
    const TimeLimit limit;
    const std::string version = GENERATE("4", "6");
    UDPServer<Where> server{Address{version == "4" ? "0.0.0.0" : "::", 0}};
    ServingThread serving{server};
    Socket client{any_port, SocketType::datagram};
    client.settimeout(patience);
    client.setsockopt(SOL_SOCKET, SO_BROADCAST, 1);
    client.sendto("where?", Address{"127.255.255.255", server.server_address().port()});
    const auto [reply, from] = client.recvfrom(100);
    const std::string prefix = version == "4" ? "" : "::ffff:";
    CHECK(reply == prefix + "127.255.255.255 " + lo());
    CHECK(from == Address{"127.0.0.1", server.server_address().port()});
}

TEST_CASE("a server on one address asks the kernel for nothing, and knows the address") {
    const TimeLimit limit;
    UDPServer<Where> server{Address{"127.0.0.2", 0}};
    CHECK(option(server, IPPROTO_IP, IP_PKTINFO) == 0);
    ServingThread serving{server};
    CHECK(ask_at("127.0.0.2", server) == "127.0.0.2 0");
}

TEST_CASE("it says by which interface a datagram came if it is asked to") {
    const TimeLimit limit;
    UDPServer<Where> server{Address{"127.0.0.2", 0}};
    server.socket().setsockopt(IPPROTO_IP, IP_PKTINFO, 1);
    ServingThread serving{server};
    CHECK(ask_at("127.0.0.2", server) == "127.0.0.2 " + lo());
}

TEST_CASE("an adopted socket that is bound to every address answers from where it was asked") {
    const TimeLimit limit;
    for (const char* host : {"0.0.0.0", "::"}) {
        Socket bound{Address{host, 0}, SocketType::datagram};
        bound.bind(Address{host, 0});
        UDPServer<Where> server{std::move(bound)};
        ServingThread serving{server};
        const std::string seen = host == std::string{"::"} ? "::ffff:127.0.0.3 " : "127.0.0.3 ";
        CHECK(ask_at("127.0.0.3", server) == seen + lo());
    }
}

TEST_CASE("a system without IP_PKTINFO is said so when the server is made") {
    const Scripted<&Calls::setsockopt> setsockopt{
        [](int fd, int level, int name, const void* value, socklen_t size) {
            if (level == IPPROTO_IP && name == IP_PKTINFO) return fail(ENOPROTOOPT);
            return sys::kernel.setsockopt(fd, level, name, value, size);
        }};
    CHECK_NOTHROW(UDPServer<Where>{any_port});
    CHECK_THROWS_WITH((UDPServer<Where>{Address{"", 0}}), StartsWith("set IP_PKTINFO"));
}

TEST_CASE("descriptors that a client sends to a Unix datagram server do not stay open") {
    const TimeLimit limit;
    UnixDatagramServer<DatagramEcho> server{"@" + own_name("descriptors")};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    std::array<int, 2> ends{-1, -1};
    REQUIRE(::pipe(ends.data()) == 0);
    client.send_fds("take this\n", std::array{ends[1]});
    CHECK(client.recv(100) == "take this\n");
    ::close(ends[1]);
    // The end of the pipe is there if nobody has the other one open.
    char byte = 0;
    pollfd pipe{ends[0], POLLIN, 0};
    CHECK(::poll(&pipe, 1, 30'000) == 1);
    CHECK(::read(ends[0], &byte, 1) == 0);
    ::close(ends[0]);
}

TEST_CASE("a late reply, from another thread, comes from where the client asked") {
    const TimeLimit limit;
    class Later : public BaseRequestHandler<Datagram> {
      public:
        explicit Later(std::promise<ReplyPath>& path) : path_{path} {}

      private:
        void handle() override { path_.set_value(request().reply_path(client_address())); }
        std::promise<ReplyPath>& path_;
    };
    std::promise<ReplyPath> promise;
    std::future<ReplyPath> future = promise.get_future();
    UDPServer<Later> server{Address{"", 0}, {}, [&] { return Later{promise}; }};
    const Address server_address{"127.0.0.2", server.server_address().port()};
    Socket client = connect(server_address, SocketType::datagram);
    {
        ServingThread serving{server};
        client.sendall("?");
        CHECK(future.wait_for(patience) == std::future_status::ready);
    }
    CHECK(server.statistics().active == 0);
    const ReplyPath path = future.get();
    CHECK(path.client_address() == client.getsockname());
    path.send("one");
    CHECK(client.recv(100) == "one");
    server.server_close();  // the path keeps the socket
    std::jthread{[copy = path] { copy.send("two"); }}.join();
    CHECK(client.recv(100) == "two");
    CHECK_THROWS_WITH(ReplyPath{}.send("nobody"), StartsWith("send a reply"));
}

TEST_CASE("IPv6: of several addresses the one that was asked answers") {
    const auto end = in_child([] {
        if (!enter_network_namespace()) return write_text("no namespace");
        for (const char* address : {"fd00::2", "fd00::3", "fe80::4"}) add_to_lo(address, 64);
        if (!eventually([] { return has_ipv6_addresses("lo"); })) throw std::runtime_error("wait");
        UDPServer<Where> server{Address{"::", 0}};
        ServingThread serving{server};
        for (const std::string host : {"fd00::2", "fd00::3", "::1"}) {
            if (ask_at(host, server) != host + ' ' + lo()) throw std::runtime_error(host);
        }
        const std::string local = "fe80::4%lo";
        if (ask_at(local, server) != local + ' ' + lo()) throw std::runtime_error(local);
    });
    if (end.text == "no namespace") {
        WARN("no network namespace can be made here");
    } else {
        CHECK(end.text == "");
        CHECK(end.exited_with(0));
    }
}
