// SPDX-License-Identifier: MIT
// The end of a ThreadPoolMixIn: what waits, what is served, and that nothing is lost.
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/gated_serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("shutdown() waits for no thread, server_close() serves what is in the queue") {
    const TimeLimit limit;
    const std::size_t threads_before = thread_count();
    Gate gate;
    GatedServer server{gate};
    server.max_threads = 1;
    server.max_queue = 3;
    ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(asking_client(server, std::to_string(i) + "\n"));
    REQUIRE(eventually([&] { return server.accepted == 4; }));
    serving.stop();  // the gate is closed: it would wait for ever
    CHECK(eventually([&] { return gate.arrived() == 1; }));
    ClosingThread closing{server};
    CHECK(closing.begun());
    CHECK_FALSE(closing.closed());
    gate.open();
    for (int i = 0; i < 4; ++i) {
        CHECK(read_to_end(clients[static_cast<std::size_t>(i)]) == std::to_string(i) + "\n");
    }
    closing.join();
    CHECK(server.pool_threads() == 0);
    CHECK(eventually([&] { return thread_count() == threads_before; }));
}

TEST_CASE("without block_on_close nothing is waited for, and the queue is closed") {
    const TimeLimit limit;
    const bool by_block_on_close = GENERATE(false, true);
    const std::size_t threads_before = thread_count();
    Gate gate;
    std::optional<ThreadPoolTCPServer<GatedHandler>> server;
    server.emplace(any_port, ServerOptions{}, [&] { return GatedHandler{gate}; });
    server->max_threads = 1;
    if (by_block_on_close) {
        server->block_on_close = false;
    } else {
        server->daemon_threads = true;
    }
    ServingThread serving{*server};
    Socket served = asking_client(*server, "served\n");
    REQUIRE(gate.wait_for_arrivals(1));
    Socket queued = asking_client(*server, "queued\n");
    REQUIRE(eventually([&] { return server->queued_requests() == 1; }));
    serving.stop();
    server->server_close();
    if (GENERATE(false, true)) server.reset();
    gate.open();
    CHECK(read_to_end(served) == "served\n");
    CHECK(read_to_end(queued).empty());
    CHECK(gate.arrived() == 1);
    if (server) {
        CHECK(eventually([&] { return server->statistics().active == 0; }));
        CHECK(server->statistics().served() == 1);
        CHECK(server->statistics().closed(CloseReason::cancelled) == 1);
    }
    CHECK(eventually([&] { return thread_count() == threads_before; }));
}

TEST_CASE("server_close() from a handler of the pool") {
    const TimeLimit limit;
    class Closing : public StreamRequestHandler {
        void handle() override {
            server().server_close();
            wfile().write("closed\n");
        }
    };
    ThreadPoolTCPServer<Closing> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client) == "closed\n");
    serving.join();
    CHECK(server.fileno() == -1);
}

TEST_CASE("no request that was accepted is lost when the pool is stopped under load") {
    const TimeLimit limit;
    const Counts before;
    const WhenFull when_full = GENERATE(WhenFull::stop_accepting, WhenFull::close);
    {
        Gate gate;
        gate.open();
        GatedServer server{gate};
        server.max_threads = 4;
        server.max_queue = 8;
        server.when_full = when_full;
        std::atomic<int> answered{0};
        std::atomic<bool> ends{false};
        std::vector<std::thread> clients;
        ServingThread serving{server};
        for (int i = 0; i < 8; ++i) {
            clients.emplace_back([&] {
                while (!ends) {
                    try {
                        if (ask(server.server_address(), "x\n") == "x\n") ++answered;
                    } catch (const std::system_error&) {
                        // Refused by the full pool, or not accepted any more.
                    }
                }
            });
        }
        REQUIRE(eventually([&] { return answered >= 1000; }));
        const Address address = server.server_address();
        serving.stop();
        server.server_close();
        ends = true;
        for (std::thread& client : clients) client.join();
        CHECK(answered == gate.arrived());
        if (when_full == WhenFull::stop_accepting) CHECK(answered == server.accepted);
        CHECK(server.errors == 0);
        CHECK(gate.most_at_once() <= 4);
    }
    CHECK(before.are_back());
}
