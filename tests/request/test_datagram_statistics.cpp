// SPDX-License-Identifier: MIT
// What a server counts of its datagrams: cut, dropped by the kernel, and not sent.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <system_error>

#include <sys/socket.h>

#include "io/datagram_counters.hpp"
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

Socket client_of(const ServerBase& server) {
    return connect(server.server_address(), SocketType::datagram);
}

template <class Server>
void counts_truncated() {
    Server server{any_port, {.max_packet_size = 10}};
    ServingThread serving{server};
    Socket client = client_of(server);
    for (const std::size_t size : {9U, 10U, 11U, 100U}) {
        client.sendall(std::string(size, 'x'));
        CHECK(client.recv(100) == std::string(std::min<std::size_t>(size, 10), 'x'));
    }
    CHECK(eventually([&] { return server.statistics().closed() == 4; }));
    CHECK(server.statistics().datagrams_truncated == 2);
    CHECK(server.statistics().datagrams_dropped == 0);
    CHECK(server.statistics().replies_failed == 0);
}

/// Sends to a port that does not exist: the kernel refuses.
class ToNobody : public BaseRequestHandler<Datagram> {
    void handle() override {
        try {
            request().socket().sendto("x", Address{"127.0.0.1", 0});
        } catch (const std::system_error&) {
            request().socket().sendto("failed", client_address());
        }
    }
};

template <class Server>
void counts_failed_replies() {
    Server server{any_port};
    ServingThread serving{server};
    Socket client = client_of(server);
    for (std::uint64_t number = 1; number <= 3; ++number) {
        client.sendall("?");
        CHECK(client.recv(100) == "failed");
        CHECK(server.statistics().replies_failed == number);
    }
}

/// Sends datagrams that nobody receives, until some of them must have been dropped.
int overfill(Socket& client) {
    constexpr int datagrams = 200;
    for (int i = 0; i < datagrams; ++i) client.sendall(std::string(100, 'x'));
    return datagrams;
}

/// Asks until an answer comes: a question may be dropped as well. Returns how many it took.
int ask_until_answered(Socket& client, const std::string& question) {
    client.settimeout(20ms);
    for (int asked = 1;; ++asked) {
        client.sendall(question);
        try {
            while (client.recv(1000) != question) {
            }
            return asked;
        } catch (const TimeoutError&) {
            continue;
        }
    }
}

}  // namespace

TEST_CASE("a kernel that tells of no dropped datagrams has its servers too") {
    const TimeLimit limit;
    int error = ENOPROTOOPT;
    const Scripted<&Calls::setsockopt> setsockopt{
        [&](int fd, int level, int option, const void* value, socklen_t size) {
            if (level == SOL_SOCKET && option == SO_RXQ_OVFL) return fail(error);
            return sys::kernel.setsockopt(fd, level, option, value, size);
        }};
    counts_truncated<UDPServer<DatagramEcho>>();
    error = ENOMEM;
    CHECK_THROWS_AS((UDPServer<DatagramEcho>{any_port}), std::system_error);
}

TEST_CASE("datagrams that are cut are counted") {
    const TimeLimit limit;
    SECTION("synchronous") { counts_truncated<UDPServer<DatagramEcho>>(); }
    SECTION("threading") { counts_truncated<UDPServer<DatagramEcho, ThreadingMixIn>>(); }
    SECTION("forking") { counts_truncated<UDPServer<DatagramEcho, ForkingMixIn>>(); }
    SECTION("prefork") { counts_truncated<UDPServer<DatagramEcho, PreforkMixIn>>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { counts_truncated<UDPServer<DatagramEcho, FiberMixIn>>(); }
#endif
}

TEST_CASE("replies that cannot be sent are counted, in whichever process") {
    const TimeLimit limit;
    SECTION("synchronous") { counts_failed_replies<UDPServer<ToNobody>>(); }
    SECTION("threading") { counts_failed_replies<UDPServer<ToNobody, ThreadingMixIn>>(); }
    SECTION("forking") { counts_failed_replies<UDPServer<ToNobody, ForkingMixIn>>(); }
    SECTION("prefork") { counts_failed_replies<UDPServer<ToNobody, PreforkMixIn>>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { counts_failed_replies<UDPServer<ToNobody, FiberMixIn>>(); }
#endif
}

TEST_CASE("what the kernel dropped, and what the server received, is what was sent") {
    const TimeLimit limit;
    UDPServer<DatagramEcho> server{any_port};
    server.socket().set_receive_buffer(1);  // the kernel's least
    Socket client = client_of(server);
    int sent = overfill(client);
    {
        ServingThread serving{server};
        sent += ask_until_answered(client, "first");
        const auto dropped = server.statistics().datagrams_dropped;
        CHECK(dropped > 100);
        CHECK(dropped < static_cast<std::uint64_t>(sent));
    }
    // Once more: the kernel goes on counting.
    sent += overfill(client);
    ServingThread serving{server};
    sent += ask_until_answered(client, "second");
    const Statistics statistics = server.statistics();
    CHECK(statistics.accepted + statistics.datagrams_dropped == static_cast<std::uint64_t>(sent));
}

TEST_CASE("sessions: what the kernel dropped of their first datagrams is counted") {
    const TimeLimit limit;
    class Once : public BaseRequestHandler<> {
        void handle() override { request().sendall(request().recv(1000)); }
    };
    UDPSessionServer<Once> server{any_port};
    server.socket().set_receive_buffer(1);
    Socket client = client_of(server);
    overfill(client);
    ServingThread serving{server};
    Socket other = client_of(server);
    ask_until_answered(other, "?");
    CHECK(server.statistics().datagrams_dropped > 100);
}

TEST_CASE("a late reply that cannot be sent is counted, and may come after the server") {
    const TimeLimit limit;
    class Later : public BaseRequestHandler<Datagram> {
      public:
        explicit Later(std::promise<ReplyPath>& path) : path_{path} {}

      private:
        void handle() override { path_.set_value(request().reply_path(Address{"127.0.0.1", 0})); }
        std::promise<ReplyPath>& path_;
    };
    std::promise<ReplyPath> promise;
    auto server = std::make_unique<UDPServer<Later>>(any_port, ServerOptions{},
                                                     [&] { return Later{promise}; });
    ReplyPath path;
    {
        ServingThread serving{*server};
        client_of(*server).sendall("?");
        path = promise.get_future().get();
    }
    CHECK_THROWS_AS(path.send("x"), std::system_error);
    CHECK(server->statistics().replies_failed == 1);
    server.reset();
    CHECK_THROWS_AS(path.send("x"), std::system_error);
}

TEST_CASE("the kernel's count of 32 bits is continued in 64, and never goes back") {
    detail::DatagramCounters counters;
    counters.note_dropped(10);
    counters.note_dropped(7);  // told late, by another process
    CHECK(counters.dropped == 10);
    counters.note_dropped(2'000'000'000);
    counters.note_dropped(4'000'000'000);
    counters.note_dropped(5);  // around the end of 32 bits
    CHECK(counters.dropped == (std::uint64_t{1} << 32) + 5);
}
