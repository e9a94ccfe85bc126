// SPDX-License-Identifier: MIT
// A client that does not read its replies, or has gone, holds up nobody and fills no log.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

/// Replies as DatagramRequestHandler does.
class Replies : public DatagramRequestHandler {
    void handle() override { wfile().write("reply"); }
};

/// Replies by hand.
class Sends : public BaseRequestHandler<Datagram> {
    void handle() override { request().socket().sendto("reply", client_address()); }
};

/// A client with an address that sends one request after the other, and reads nothing.
class Deaf {
  public:
    explicit Deaf(const Address& server, const Address& own)
        : server_{server}, socket_{own, SocketType::datagram} {
        socket_.bind(own);
    }
    void ask(int requests) {
        for (int i = 0; i < requests; ++i) socket_.sendto("request", server_);
    }
    /// So many that the replies to them do not fit into its queue, and `more`.
    void ask_too_much(int more = 1) {
        std::FILE* file = std::fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
        int most = 10;
        if (file != nullptr) {
            if (std::fscanf(file, "%d", &most) != 1) most = 10;
            std::fclose(file);
        }
        ask(most + 1 + more);
    }

  private:
    Address server_;
    Socket socket_;
};

template <class Handler, template <class> class MixIn>
struct UnixServer {
    explicit UnixServer(const ServerOptions& options = {})
        : server{Address{folder / "server"}, options} {}

    std::uint64_t closed(CloseReason reason) const { return server.statistics().closed(reason); }

    const TemporaryFolder folder;
    const Address client = Address{folder / "client"};
    UnixDatagramServer<Handler, MixIn> server;
};

template <class Handler, template <class> class MixIn>
void check_others_are_answered() {
    const TimeLimit limit;
    CapturedStderr captured;
    {
        UnixServer<Handler, MixIn> unix;
        ServingThread serving{unix.server};
        Deaf deaf{unix.server.server_address(), unix.client};
        constexpr int too_many = 8;  // than a pool has threads
        deaf.ask_too_much(too_many);
        Socket other = create_connection(unix.server.server_address(), SocketType::datagram);
        other.settimeout(patience);
        other.sendall("request");
        CHECK(other.recv(100) == "reply");
        CHECK(eventually([&] { return unix.server.statistics().active == 0; }));
        CHECK(unix.closed(CloseReason::timed_out) >= 1);
        CHECK(unix.closed(CloseReason::timed_out) <= too_many);
    }
    CHECK(captured.text() == "");
}

/// Until all replies but the last, which does not fit into the queue of the client, have been sent.
bool waits_for_the_last_reply(const ServerBase& server) {
    return eventually([&] {
        const Statistics now = server.statistics();
        return now.closed(CloseReason::finished) > 0 && now.active == 1;
    });
}

template <template <class> class MixIn>
void check_drain() {
    const TimeLimit limit;
    UnixServer<Replies, MixIn> unix{{.request_timeout = 1h}};
    ServingThread serving{unix.server};
    Deaf deaf{unix.server.server_address(), unix.client};
    deaf.ask_too_much();
    REQUIRE(waits_for_the_last_reply(unix.server));
    const DrainReport report = unix.server.drain(50ms);
    CHECK(report.cancelled >= 1);
    CHECK(report.remaining == 0);
}

template <template <class> class MixIn>
void check_stop() {
    const TimeLimit limit;
    UnixServer<Replies, MixIn> unix{{.request_timeout = 1h}};
    {
        ServingThread serving{unix.server};
        Deaf deaf{unix.server.server_address(), unix.client};
        deaf.ask_too_much();
        REQUIRE(waits_for_the_last_reply(unix.server));
    }
    unix.server.server_close();
    CHECK(unix.server.statistics().active == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("a client that does not read its replies: the others are answered", "", Replies,
                   Sends){
    SECTION("synchronous"){check_others_are_answered<TestType, SynchronousMixIn>();
}
SECTION("threading") { check_others_are_answered<TestType, ThreadingMixIn>(); }
SECTION("forking") { check_others_are_answered<TestType, ForkingMixIn>(); }
SECTION("pool") { check_others_are_answered<TestType, ThreadPoolMixIn>(); }
SECTION("prefork") { check_others_are_answered<TestType, PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_others_are_answered<TestType, FiberMixIn>(); }
#endif
}

TEST_CASE("a drain breaks off a reply that is not read"){
    SECTION("synchronous"){check_drain<SynchronousMixIn>();
}
SECTION("threading") { check_drain<ThreadingMixIn>(); }
SECTION("forking") { check_drain<ForkingMixIn>(); }
SECTION("pool") { check_drain<ThreadPoolMixIn>(); }
SECTION("prefork") { check_drain<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_drain<FiberMixIn>(); }
#endif
}

TEST_CASE("a stop does not wait for a reply that is not read"){
    SECTION("synchronous"){check_stop<SynchronousMixIn>();
}
SECTION("threading") { check_stop<ThreadingMixIn>(); }
SECTION("forking") { check_stop<ForkingMixIn>(); }
SECTION("pool") { check_stop<ThreadPoolMixIn>(); }
SECTION("prefork") { check_stop<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_stop<FiberMixIn>(); }
#endif
}

TEST_CASE("a reply has the time of its request") {
    const TimeLimit limit;
    UnixServer<Replies, SynchronousMixIn> unix{{.request_timeout = 300ms}};
    ServingThread serving{unix.server};
    Deaf deaf{unix.server.server_address(), unix.client};
    const Stopwatch watch;
    deaf.ask_too_much();
    CHECK(eventually([&] { return unix.closed(CloseReason::timed_out) == 1; }));
    CHECK(watch.elapsed() >= 300ms);
}

TEST_CASE("a client that was given up is not waited for again, until it is quiet for a while") {
    const TimeLimit limit;
    UnixServer<Replies, SynchronousMixIn> unix{{.request_timeout = 400ms}};
    ServingThread serving{unix.server};
    Deaf deaf{unix.server.server_address(), unix.client};
    deaf.ask_too_much();
    REQUIRE(eventually([&] { return unix.closed(CloseReason::timed_out) == 1; }));
    const Stopwatch watch;
    deaf.ask(2);
    REQUIRE(eventually([&] { return unix.closed(CloseReason::timed_out) == 3; }));
    CHECK(watch.elapsed() < 400ms);
}

TEMPLATE_TEST_CASE("a client that has gone is no failure of the server", "", Replies, Sends) {
    const TimeLimit limit;
    CapturedStderr captured;
    {
        UnixServer<TestType, SynchronousMixIn> unix;
        SECTION("its socket is closed") { Deaf{unix.server.server_address(), unix.client}.ask(1); }
        SECTION("its path is gone as well") {
            Deaf{unix.server.server_address(), unix.client}.ask(1);
            ::unlink(unix.client.path().c_str());
        }
        ServingThread serving{unix.server};
        CHECK(eventually([&] { return unix.closed(CloseReason::reset) == 1; }));
    }
    CHECK(captured.text() == "");
}

TEST_CASE("a reply that is too large, or goes to somebody else who has gone, is a failure") {
    const TimeLimit limit;
    class Fails : public BaseRequestHandler<Datagram> {
        void handle() override {
            if (request().data() == "large") {
                request().socket().sendto(std::string(100'000'000, 'x'), client_address());
            } else {
                request().socket().sendto("x", Address{"/no/such/path"});
            }
        }
    };
    CapturedStderr captured;
    {
        UnixServer<Fails, SynchronousMixIn> unix;
        ServingThread serving{unix.server};
        Socket client = create_connection(unix.server.server_address(), SocketType::datagram);
        client.sendall("large");
        client.sendall("other");
        CHECK(eventually([&] { return unix.closed(CloseReason::error) == 2; }));
    }
    const std::string printed = captured.text();
    CHECK_THAT(printed, ContainsSubstring("Message too long"));
    CHECK_THAT(printed, ContainsSubstring("sendto /no/such/path: No such file"));
}
