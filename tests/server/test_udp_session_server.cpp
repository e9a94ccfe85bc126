// SPDX-License-Identifier: MIT
// Sessions on UDP: one handler for all datagrams of a client.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber_mixin.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

constexpr std::size_t any_size = 65536;

/// Numbers the datagrams of its session, until one of them says that it is the last.
class Numbering : public BaseRequestHandler<> {
    void handle() override {
        int number = 0;
        for (std::string data; !(data = request().recv(any_size)).empty();) {
            request().sendall(std::to_string(++number) + ' ' + data);
            if (data == "last") return;
        }
    }
};

Socket client_of(const ServerBase& server, const std::string& host = "127.0.0.1") {
    return connect(Address{host, server.server_address().port()}, SocketType::datagram);
}

std::string answer(Socket& client, std::string_view data) {
    client.sendall(data);
    return client.recv(any_size);
}

template <template <class> class MixIn>
void serves_sessions() {
    UDPSessionServer<Numbering, MixIn> server{any_port};
    ServingThread serving{server};
    std::array<Socket, 3> clients{client_of(server), client_of(server), client_of(server)};
    for (const std::string number : {"1", "2", "3"}) {
        for (Socket& each : clients) CHECK(answer(each, "x") == number + " x");
    }
    CHECK(server.statistics().accepted == 3);
    CHECK(answer(clients[0], "last") == "4 last");
    CHECK(eventually([&] { return server.statistics().active == 2; }));
    CHECK(answer(clients[0], "again") == "1 again");
    CHECK(answer(clients[1], "x") == "4 x");
    for (Socket& each : clients) answer(each, "last");
    CHECK(eventually([&] { return server.statistics().served() == 4; }));
}

std::uint64_t count(const ServerBase& server, CloseReason reason) {
    return server.statistics().closed(reason);
}

}  // namespace

TEST_CASE("one handler serves all datagrams of a client until it returns") {
    const TimeLimit limit;
    SECTION("threading") { serves_sessions<ThreadingMixIn>(); }
    SECTION("pool") { serves_sessions<ThreadPoolMixIn>(); }
    SECTION("forking") { serves_sessions<ForkingMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { serves_sessions<FiberMixIn>(); }
#endif
}

TEST_CASE("one after the other, if the policy is that") {
    const TimeLimit limit;
    UDPSessionServer<Numbering> server{any_port};
    ServingThread serving{server};
    Socket first = client_of(server);
    CHECK(answer(first, "x") == "1 x");
    Socket second = client_of(server);
    second.sendall("waits");
    CHECK(answer(first, "last") == "2 last");
    CHECK(second.recv(any_size) == "1 waits");
    CHECK(answer(second, "last") == "2 last");
}

TEST_CASE("prefork: workers have sessions of their own") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, PreforkOf<ThreadingMixIn>::MixIn> server{any_port};
    server.workers = 2;
    ServingThread serving{server};
    std::array<Socket, 8> clients;
    for (Socket& each : clients) each = client_of(server);
    for (const std::string number : {"1", "2"}) {
        for (Socket& each : clients) CHECK(answer(each, "x") == number + " x");
    }
    for (Socket& each : clients) CHECK(answer(each, "last") == "3 last");
}

TEST_CASE("what clients send before they are served is all theirs, and in order") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    std::vector<Socket> clients(5);
    for (Socket& each : clients) each = client_of(server);
    constexpr int datagrams = 20;
    for (int i = 1; i <= datagrams; ++i) {
        for (Socket& each : clients) each.sendall("d" + std::to_string(i));
    }
    ServingThread serving{server, 100s};  // no turn of the loop but for what comes
    for (Socket& each : clients) {
        for (int i = 1; i <= datagrams; ++i) {
            CHECK(each.recv(any_size) == std::to_string(i) + " d" + std::to_string(i));
        }
    }
    CHECK(server.statistics().accepted == clients.size());
    server.drain(patience);  // no client says that it goes
}

TEST_CASE("many clients that come at once get a session each") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, ThreadingMixIn> server{Address{"", 0}};
    ServingThread serving{server};
    std::vector<std::jthread> threads;
    std::atomic<int> right{0};
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, host = "127.0.0." + std::to_string(i + 1)] {
            for (int turn = 0; turn < 25; ++turn) {
                Socket client = client_of(server, host);
                for (const char* each : {"a", "b", "last"}) client.sendall(each);
                for (const char* each : {"1 a", "2 b", "3 last"}) {
                    if (client.recv(any_size) == each) ++right;
                }
            }
        });
    }
    threads.clear();
    CHECK(right == 300);
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(server.statistics().accepted == 100);
}

TEST_CASE("a session sends from the address that the client has asked") {
    const TimeLimit limit;
    class Where : public BaseRequestHandler<> {
        void handle() override {
            request().recv(any_size);
            request().sendall(request().getsockname().host() + ' ' +
                              (request().getpeername() == client_address() ? "same" : "other"));
        }
    };
    const std::string wildcard = GENERATE("", "::");
    UDPSessionServer<Where, ThreadingMixIn> server{Address{wildcard, 0}};
    ServingThread serving{server};
    const std::string prefix = wildcard.empty() ? "" : "::ffff:";
    for (const std::string host : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
        Socket client = client_of(server, host);
        CHECK(answer(client, "?") == prefix + host + " same");
    }
    if (wildcard.empty()) return;
    Socket client = client_of(server, "::1");
    CHECK(answer(client, "?") == "::1 same");
}

TEST_CASE("an adopted socket has sessions") {
    const TimeLimit limit;
    Socket bound{any_port, SocketType::datagram};
    bound.bind(any_port);
    UDPSessionServer<Numbering, ThreadingMixIn> server{std::move(bound)};
    ServingThread serving{server};
    Socket client = client_of(server);
    CHECK(answer(client, "x") == "1 x");
    CHECK(answer(client, "last") == "2 last");
}

TEST_CASE("an idle session ends, is counted, and nothing is printed") {
    const TimeLimit limit;
    CapturedStderr printed;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port, {.idle_timeout = 20ms}};
    {
        ServingThread serving{server};
        Socket client = client_of(server);
        CHECK(answer(client, "x") == "1 x");
        CHECK(eventually([&] { return count(server, CloseReason::timed_out) == 1; }));
        CHECK(answer(client, "x") == "1 x");
        CHECK(eventually([&] { return count(server, CloseReason::timed_out) == 2; }));
    }
    server.server_close();
    CHECK(printed.text() == "");
}

TEST_CASE("an exception of a session is the server's handle_error()") {
    const TimeLimit limit;
    class Failing : public BaseRequestHandler<> {
        void handle() override { throw std::runtime_error(request().recv(any_size)); }
    };
    class Server : public UDPSessionServer<Failing, ThreadingMixIn> {
      public:
        Server() : UDPSessionServer{any_port} {}
        ~Server() override { server_close(); }
        std::atomic<int> errors{0};

      protected:
        void handle_error(Socket&, const Address&, std::exception_ptr) override { ++errors; }
    };
    Server server;
    ServingThread serving{server};
    client_of(server).sendall("planned");
    CHECK(eventually([&] { return server.errors == 1; }));
    CHECK(eventually([&] { return count(server, CloseReason::error) == 1; }));
}

TEST_CASE("sessions are bounded, in all and of each address") {
    const TimeLimit limit;
    SECTION("in all: the next one waits") {
        UDPSessionServer<Numbering, ThreadingMixIn> server{any_port, {.max_connections = 2}};
        ServingThread serving{server};
        std::array<Socket, 3> clients{client_of(server), client_of(server), client_of(server)};
        CHECK(answer(clients[0], "x") == "1 x");
        CHECK(answer(clients[1], "x") == "1 x");
        clients[2].sendall("waits");
        CHECK(answer(clients[0], "x") == "2 x");
        CHECK(server.statistics().active == 2);
        CHECK(answer(clients[1], "last") == "2 last");
        CHECK(clients[2].recv(any_size) == "1 waits");
        CHECK(server.statistics().active == 2);
        server.drain(patience);
    }
    SECTION("of each address: the next one is refused") {
        UDPSessionServer<Numbering, ThreadingMixIn> server{
            any_port, {.max_connections_per_address = 1, .overload = Overload::close}};
        ServingThread serving{server};
        Socket one = client_of(server);
        CHECK(answer(one, "x") == "1 x");
        Socket two = client_of(server);
        two.sendall("x");
        CHECK(eventually([&] {
            return server.statistics().refused(RefuseCause::max_connections_per_address) == 1;
        }));
        CHECK(answer(one, "last") == "2 last");
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        CHECK(answer(two, "last") == "1 last");
    }
    SECTION("without an option, too") {
        const UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
        CHECK(server.options().max_connections == 1000);
        CHECK(server.options().idle_timeout == 60s);
    }
}

TEST_CASE("a client that closes its port ends its session") {
    const TimeLimit limit;
    CapturedStderr printed;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    // It goes before the reply comes, which would be taken for received otherwise.
    client_of(server).sendall("gone");
    {
        ServingThread serving{server};
        CHECK(eventually([&] { return server.statistics().closed() == 1; }));
        CHECK(count(server, CloseReason::client_closed) == 1);
    }
    server.server_close();
    CHECK(printed.text() == "");
}

TEST_CASE("empty datagrams neither begin nor end a session") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket client = client_of(server);
    client.sendall("");
    CHECK(answer(client, "x") == "1 x");
    client.sendall("");
    CHECK(answer(client, "last") == "2 last");
    CHECK(server.statistics().accepted == 1);
}

TEST_CASE("nor do empty datagrams that came before the session was served") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    Socket client = client_of(server);
    for (const char* each : {"x", "", "", "last"}) client.sendall(each);
    ServingThread serving{server};
    CHECK(client.recv(any_size) == "1 x");
    CHECK(client.recv(any_size) == "2 last");
    CHECK(server.statistics().accepted == 1);
}

TEST_CASE("a drain lets a session finish, and ends the idle ones") {
    const TimeLimit limit;
    class Asking : public BaseRequestHandler<> {
        void handle() override {
            for (std::string data; (data = request().recv(any_size)) == "begin";) {
                // In the middle of a request: what belongs to it still comes.
                request().settimeout(patience);
                const std::string more = request().recv(any_size);
                request().sendall("more: " + more);
            }
            request().sendall("end");
        }
    };
    const auto drains = [](auto& server) {
        ServingThread serving{server};
        Socket idle = client_of(server);
        idle.sendall("begin");
        idle.sendall("1");
        CHECK(idle.recv(any_size) == "more: 1");
        Socket busy = client_of(server);
        busy.sendall("begin");
        CHECK(eventually([&] { return server.statistics().active == 2; }));
        std::jthread draining{[&] { server.drain(patience); }};
        CHECK(idle.recv(any_size) == "end");
        busy.sendall("2");
        CHECK(busy.recv(any_size) == "more: 2");
        CHECK(busy.recv(any_size) == "end");
        draining.join();
        CHECK(count(server, CloseReason::cancelled) == 0);
    };
    SECTION("threading") {
        UDPSessionServer<Asking, ThreadingMixIn> server{any_port};
        drains(server);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") {
        UDPSessionServer<Asking, FiberMixIn> server{any_port};
        drains(server);
    }
#endif
}

TEST_CASE("a session that is late for a drain is broken off") {
    const TimeLimit limit;
    class Waiting : public BaseRequestHandler<> {
        void handle() override {
            for (;;) {
                if (request().recv(any_size).empty()) throw std::runtime_error("not broken off");
            }
        }
    };
    const auto drains = [](auto& server) {
        ServingThread serving{server};
        Socket client = client_of(server);
        client.sendall("half a request");
        CHECK(eventually([&] { return server.statistics().active == 1; }));
        server.drain(10ms);
        CHECK(count(server, CloseReason::cancelled) == 1);
    };
    SECTION("threading") {
        UDPSessionServer<Waiting, ThreadingMixIn> server{any_port};
        drains(server);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") {
        UDPSessionServer<Waiting, FiberMixIn> server{any_port};
        drains(server);
    }
#endif
}

TEST_CASE("a second server on the port is told that it is taken") {
    const UDPSessionServer<Numbering> server{any_port};
    CHECK_THROWS_WITH(UDPSessionServer<Numbering>{server.server_address()},
                      ContainsSubstring("Address already in use"));
    CHECK_THROWS_WITH(UDPServer<DatagramEcho>{server.server_address()},
                      ContainsSubstring("Address already in use"));
}

TEST_CASE("a datagram waits while there is no descriptor for its session") {
    const TimeLimit limit;
    std::atomic<int> failures{0};
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    Socket client = client_of(server);
    const Scripted<&Calls::socket> socket{[&](int domain, int type, int protocol) {
        if ((type & SOCK_DGRAM) != 0 && ++failures <= 3) return fail(EMFILE);
        return sys::kernel.socket(domain, type, protocol);
    }};
    ServingThread serving{server};
    CHECK(answer(client, "last") == "1 last");
    CHECK(failures == 4);
    CHECK(server.statistics().accept_errors == 3);
}

TEST_CASE("a client to which nothing can be sent costs its datagram, and not the server") {
    const TimeLimit limit;
    UDPSessionServer<Numbering, ThreadingMixIn> server{any_port};
    Socket lost = client_of(server);
    Socket client = client_of(server);
    std::atomic<int> failures{0};
    const Scripted<&Calls::connect> connect{[&](int fd, const sockaddr* to, socklen_t size) {
        if (++failures == 1) return fail(EINVAL);
        return sys::kernel.connect(fd, to, size);
    }};
    lost.sendall("lost");
    ServingThread serving{server};
    CHECK(answer(client, "last") == "1 last");
    CHECK(server.statistics().accepted == 1);
}

namespace {

/// The server's half of a transfer as TFTP has it: a block, its acknowledgement, and the same block
/// again if that does not come.
class Transfer : public BaseRequestHandler<> {
  public:
    static constexpr int blocks = 5;

  private:
    void handle() override {
        const std::string name = request().recv(any_size);
        request().settimeout(20ms);
        for (int block = 1; block <= blocks; ++block) {
            const std::string acknowledgement = "ack " + std::to_string(block);
            for (std::string got; got != acknowledgement;) {
                request().sendall(name + " block " + std::to_string(block));
                try {
                    got = request().recv(any_size);
                    if (got.empty()) return;
                } catch (const TimeoutError&) {
                    continue;  // once more
                }
            }
        }
    }
};

/// Its other half, which loses every other block and some acknowledgements.
int fetch(Socket& client, const std::string& name) {
    client.sendall(name);
    int expected = 1;
    for (int received = 0; expected <= Transfer::blocks; ++received) {
        const std::string block = client.recv(any_size);
        if (received % 2 == 0) continue;
        if (block != name + " block " + std::to_string(expected)) continue;  // came twice
        client.sendall("ack " + std::to_string(expected));
        ++expected;
    }
    return expected - 1;
}

template <template <class> class MixIn>
void transfers() {
    UDPSessionServer<Transfer, MixIn> server{any_port};
    ServingThread serving{server};
    std::array<std::jthread, 3> threads;
    std::atomic<int> fetched{0};
    for (std::jthread& each : threads) {
        each = std::jthread{[&, name = std::to_string(&each - threads.data())] {
            Socket client = client_of(server);
            fetched += fetch(client, name);
        }};
    }
    for (std::jthread& each : threads) each.join();
    CHECK(fetched == 3 * Transfer::blocks);
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(server.statistics().accepted == 3);
}

}  // namespace

TEST_CASE("a transfer in blocks, some of which are lost") {
    const TimeLimit limit;
    SECTION("threading") { transfers<ThreadingMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { transfers<FiberMixIn>(); }
#endif
}
