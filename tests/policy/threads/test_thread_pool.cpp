// SPDX-License-Identifier: MIT
// ThreadPoolMixIn: never more threads or queued requests than told, and what happens beyond.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/gated_serving.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("the pool serves, and leaves no thread and no descriptor behind") {
    const TimeLimit limit;
    const Counts before;
    {
        ThreadPoolTCPServer<StreamEcho> server{any_port};
        CHECK(server.max_threads >= 8);
        const ServingThread serving{server};
        for (int i = 0; i < 20; ++i) CHECK(ask(server.server_address(), "hi\n") == "hi\n");
        CHECK(server.pool_threads() <= server.max_threads);
    }
    {
        ThreadPoolUDPServer<DatagramEcho> server{any_port};
        const ServingThread serving{server};
        CHECK(ask(server.server_address(), "hi\n", SocketType::datagram) == "hi\n");
    }
    {
        ThreadPoolUnixStreamServer<StreamEcho> server{"@" + own_name("stream")};
        const ServingThread serving{server};
        CHECK(ask(server.server_address(), "hi\n") == "hi\n");
    }
    {
        ThreadPoolUnixDatagramServer<DatagramEcho> server{"@" + own_name("datagram")};
        const ServingThread serving{server};
        CHECK(ask(server.server_address(), "hi\n", SocketType::datagram) == "hi\n");
    }
    CHECK(before.are_back());
}

TEST_CASE("no more than max_threads requests are served at once, by as many threads") {
    const TimeLimit limit;
    const std::size_t threads_before = thread_count();
    Gate gate;
    GatedServer server{gate};
    server.max_threads = 3;
    const ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(asking_client(server, "hello\n"));
    REQUIRE(gate.wait_for_arrivals(3));
    REQUIRE(eventually([&] { return server.queued_requests() == 17; }));
    CHECK(server.pool_threads() == 3);
    CHECK(thread_count() == threads_before + 4);  // and the one that serves
    CHECK(gate.arrived() == 3);
    gate.open();
    for (Socket& client : clients) CHECK(read_to_end(client) == "hello\n");
    CHECK(gate.most_at_once() == 3);
    CHECK(gate.threads() == 3);
}

TEST_CASE("when all is full the server stops accepting, until there is room") {
    const TimeLimit limit;
    const std::size_t max_queue = GENERATE(0U, 2U);
    Gate gate;
    GatedServer server{gate};
    server.max_threads = 1;
    server.max_queue = max_queue;
    const int room = 1 + static_cast<int>(max_queue);
    const ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 6; ++i) clients.push_back(asking_client(server, std::to_string(i) + "\n"));
    REQUIRE(gate.wait_for_arrivals(1));
    REQUIRE(eventually([&] { return server.queued_requests() == max_queue; }));
    CHECK(server.accepted == room);
    for (int served = 1; served <= 6; ++served) {
        gate.let_one_pass();
        CHECK(read_to_end(clients.front()) == std::to_string(served - 1) + "\n");  // in order
        clients.pop_front();
        REQUIRE(eventually([&] { return server.accepted >= std::min(served + room, 6); }));
        CHECK(server.accepted <= served + room);
    }
    CHECK(server.errors == 0);
}

TEST_CASE("when all is full the newest is refused, if so told") {
    const TimeLimit limit;
    Gate gate;
    GatedServer server{gate};
    server.max_threads = 1;
    server.max_queue = 1;
    server.when_full = GENERATE(WhenFull::close, WhenFull::reset);
    const ServingThread serving{server};
    Socket first = asking_client(server, "first\n");
    REQUIRE(gate.wait_for_arrivals(1));
    Socket second = asking_client(server, "second\n");
    REQUIRE(eventually([&] { return server.queued_requests() == 1; }));
    const auto ask_third = [&] { return connect(server.server_address()).recv(10); };
    if (server.when_full == WhenFull::close) {
        CHECK(ask_third().empty());
    } else {
        CHECK_THROWS_WITH(ask_third(), Catch::Matchers::ContainsSubstring("reset by peer"));
    }
    CHECK(server.refused == 1);
    CHECK(server.statistics().refused(RefuseCause::policy_full) == 1);
    CHECK(server.statistics().closed() == 0);
    CHECK(server.opened == 2);
    gate.open();
    CHECK(read_to_end(first) == "first\n");
    CHECK(read_to_end(second) == "second\n");
    CHECK(ask(server.server_address(), "later\n") == "later\n");
    CHECK(server.errors == 0);
    CHECK(eventually([&] { return server.closed == 3; }));
    CHECK(server.opened == 3);
    CHECK(server.statistics().refused() == 1);
}

TEST_CASE("a datagram is dropped, if so told, when all is full") {
    const TimeLimit limit;
    static Gate* gate = nullptr;
    Gate here;
    gate = &here;
    class Handler : public DatagramRequestHandler {
        void handle() override {
            gate->pass();
            wfile().write(rfile().readline());
        }
    };
    ThreadPoolUDPServer<Handler> server{any_port};
    server.max_threads = 1;
    server.max_queue = 0;
    server.when_full = WhenFull::close;
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    client.sendall("served\n");
    client.sendall("dropped\n");
    CHECK(eventually([&] { return server.statistics().refused() == 1; }));
    here.open();
    CHECK(client.recv(100) == "served\n");
    serving.stop();
    server.server_close();
    CHECK(here.arrived() == 1);
}

TEST_CASE("a thread that cannot be created") {
    const TimeLimit limit;
    Gate gate;
    GatedServer server{gate};
    server.max_threads = 4;
    server.max_queue = 2;
    std::atomic<bool> fails{true};
    const Scripted<&Calls::pthread_create> create{[&](pthread_t* thread,
                                                      const pthread_attr_t* attributes,
                                                      void* (*start)(void*), void* with) {
        return fails ? EAGAIN : sys::kernel.pthread_create(thread, attributes, start, with);
    }};
    ServingThread serving{server};
    SECTION("the first one: that connection fails, the server serves on") {
        Socket client = connect(server.server_address());
        CHECK(client.recv(10).empty());
        CHECK(server.errors == 1);
        CHECK(server.last_error == EAGAIN);
        CHECK(server.pool_threads() == 0);
        fails = false;
        gate.open();
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    SECTION("a further one: the request waits for a thread") {
        fails = false;
        Socket first = asking_client(server, "first\n");
        REQUIRE(gate.wait_for_arrivals(1));
        fails = true;
        Socket second = asking_client(server, "second\n");
        Socket third = asking_client(server, "third\n");
        REQUIRE(eventually([&] { return server.queued_requests() == 2; }));
        CHECK(server.pool_threads() == 1);
        gate.open();
        CHECK(read_to_end(first) == "first\n");
        CHECK(read_to_end(second) == "second\n");
        CHECK(read_to_end(third) == "third\n");
        CHECK(server.errors == 0);
        CHECK(gate.threads() == 1);
    }
    SECTION("a further one, and the queue is full as well: back-pressure, not a growing queue") {
        fails = false;
        std::deque<Socket> clients;
        clients.push_back(asking_client(server, "0\n"));
        REQUIRE(gate.wait_for_arrivals(1));
        fails = true;
        for (int i = 1; i < 6; ++i) {
            clients.push_back(asking_client(server, std::to_string(i) + "\n"));
        }
        REQUIRE(eventually([&] { return server.queued_requests() == 2; }));
        CHECK(server.accepted == 3);
        gate.open();
        for (int i = 0; i < 6; ++i) {
            CHECK(read_to_end(clients[static_cast<std::size_t>(i)]) == std::to_string(i) + "\n");
        }
        CHECK(server.errors == 0);
    }
    serving.stop();
    server.server_close();
}

TEST_CASE("a request whose thread could not be created is served although nobody else comes") {
    const TimeLimit limit;
    std::atomic<bool> fails{false};
    std::atomic<int> failed{0};
    const Scripted<&Calls::pthread_create> create{[&](auto... arguments) {
        if (!fails || ++failed > 3) return detail::sys::kernel.pthread_create(arguments...);
        return EAGAIN;
    }};
    ThreadPoolTCPServer<StreamEcho> server{any_port};
    server.max_threads = 2;
    // The loop wakes for nothing else.
    const ServingThread serving{server, std::chrono::hours{1}};
    Socket holds_the_first_thread = connect(server.server_address());
    REQUIRE(eventually([&] { return server.pool_threads() == 1; }));
    fails = true;
    CHECK(ask(server.server_address(), "hi\n") == "hi\n");
    CHECK(failed == 4);
    CHECK(eventually([&] { return server.queued_requests() == 0; }));  // counted after the thread
    CHECK(ask(holds_the_first_thread, "still\n") == "still\n");
}
