// SPDX-License-Identifier: MIT
// server_close(): from anywhere, at any time, as often as one likes.
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "support/acting_server.hpp"
#include "support/catch.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

template <template <class> class MixIn>
void close_while_serving() {
    const TimeLimit limit;
    TCPServer<StreamEcho, MixIn> server{any_port};
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
    server.server_close();
    serving.join();
    CHECK_FALSE(serving.error());
    CHECK(server.fileno() == -1);
    server.server_close();
    CHECK_THROWS_AS(server.socket(), std::system_error);
}

}  // namespace

TEST_CASE("server_close() ends a serve in another thread") {
    SECTION("synchronous") { close_while_serving<SynchronousMixIn>(); }
    SECTION("threading") { close_while_serving<ThreadingMixIn>(); }
    SECTION("forking") { close_while_serving<ForkingMixIn>(); }
    SECTION("pool") { close_while_serving<ThreadPoolMixIn>(); }
    SECTION("prefork") { close_while_serving<PreforkMixIn>(); }
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("server_close() ends a serve in another thread: fiber") {
    close_while_serving<FiberMixIn>();
}
#endif

TEST_CASE("a closed server serves no more") {
    TCPServer<StreamEcho> server{any_port};
    {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        server.server_close();
        serving.join();  // a shutdown() now would be for the next serve
    }
    CHECK_THROWS_AS(server.serve_forever(), std::system_error);
    CHECK_THROWS_AS(server.handle_request(), std::system_error);
}

TEST_CASE("server_close() from a handler") {
    const TimeLimit limit;
    const auto close = [](ServerBase& server) { server.server_close(); };
    SECTION("of a synchronous server") {
        ActingServer<SynchronousMixIn> acting{close};
        ServingThread serving{acting.server};
        CHECK(ask(acting.server.server_address(), "bye\n") == "bye\n");
        serving.join();
        CHECK_FALSE(serving.error());
        CHECK(acting.server.fileno() == -1);
    }
    SECTION("of a synchronous server that two threads serve") {
        std::atomic<bool> closing{false};
        ActingServer<SynchronousMixIn> acting{[&](ServerBase& server) {
            if (closing) server.server_close();
        }};
        ServingThread first{acting.server};
        ServingThread second{acting.server};
        Socket silent = connect(acting.server.server_address());
        CHECK(ask(acting.server.server_address(), "both serve\n") == "both serve\n");
        CHECK(ask(silent, "x\n") == "x\n");
        closing = true;
        CHECK(ask(acting.server.server_address(), "bye\n") == "bye\n");
        first.join();
        second.join();
        CHECK_FALSE(first.error());
        CHECK_FALSE(second.error());
        CHECK(acting.server.fileno() == -1);
    }
    SECTION("of a threading server") {
        ActingServer<ThreadingMixIn> acting{close};
        ServingThread serving{acting.server};
        CHECK(ask(acting.server.server_address(), "bye\n") == "bye\n");
        serving.join();
        CHECK_FALSE(serving.error());
        CHECK(acting.server.fileno() == -1);
    }
    SECTION("of two threading handlers at once") {
        std::atomic<int> arrived{0};
        ActingServer<ThreadingMixIn> acting{[&](ServerBase& server) {
            ++arrived;
            while (arrived < 2) std::this_thread::yield();
            server.server_close();
        }};
        ServingThread serving{acting.server};
        Socket one = connect(acting.server.server_address());
        Socket two = connect(acting.server.server_address());
        CHECK(ask(one, "1\n") == "1\n");
        CHECK(ask(two, "2\n") == "2\n");
        serving.join();
    }
    SECTION("of a forking server closes nothing in the parent") {
        ActingServer<ForkingMixIn> acting{close};
        ServingThread serving{acting.server};
        CHECK(ask(acting.server.server_address(), "1\n") == "1\n");
        CHECK(ask(acting.server.server_address(), "2\n") == "2\n");
    }
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("server_close() from a handler of fibers, while the loop accepts in another thread") {
    const TimeLimit limit;
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> asked{0};
        ActingServer<FiberMixIn> acting{[&](ServerBase& server) {
            if (++asked == 50) server.server_close();
        }};
        acting.server.workers = 3;
        const Address address = acting.server.server_address();
        ServingThread serving{acting.server};
        std::vector<std::jthread> clients;
        for (int i = 0; i < 3; ++i) {
            clients.emplace_back([&address] {
                try {
                    for (;;) ask(address, "x\n");
                } catch (const std::system_error&) {
                    // Refused or reset: it is closed.
                }
            });
        }
        serving.join();
        CHECK_FALSE(serving.error());
        CHECK(acting.server.fileno() == -1);
    }
}
#endif

TEST_CASE("server_close() from several threads while serving") {
    const TimeLimit limit;
    TCPServer<StreamEcho, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
    std::vector<std::thread> closers;
    for (int i = 0; i < 4; ++i) closers.emplace_back([&server] { server.server_close(); });
    for (std::thread& closer : closers) closer.join();
    serving.join();
    CHECK_FALSE(serving.error());
}

TEST_CASE("a server that never served closes") {
    const TimeLimit limit;
    TCPServer<StreamEcho, ThreadingMixIn> threading{any_port};
    threading.server_close();
    TCPServer<StreamEcho, ForkingMixIn> forking{any_port};
    forking.server_close();
    TCPServer<StreamEcho, ThreadPoolMixIn> pool{any_port};
    pool.server_close();
    TCPServer<StreamEcho, PreforkMixIn> prefork{any_port};
    prefork.server_close();
    CHECK(threading.fileno() == -1);
    CHECK(forking.fileno() == -1);
    CHECK(pool.fileno() == -1);
    CHECK(prefork.fileno() == -1);
}
