// SPDX-License-Identifier: MIT
// select() of what fibers and threads share: Queue and Event.
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/fiber.hpp"
#include "socketserver/select.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("select waits for a value of a queue, or for its end") {
    Queue<int> first;
    Queue<int> second{1};
    Pair pair = tcp_pair();
    const bool closes = GENERATE(false, true);
    std::jthread later;
    on_each_carrier([&] {
        CHECK_FALSE(select({first, second, pair.near}, 1ms));
        later = std::jthread{[&] {
            if (closes) {
                second.close();
            } else {
                second.push(7);
            }
        }};
        const Selected selected = select({first, second, pair.near});
        CHECK_FALSE(selected[0]);
        CHECK(selected[1]);
        CHECK_FALSE(selected[2]);
        CHECK(second.try_pop() == (closes ? std::nullopt : std::optional{7}));
        first.push(1);
        CHECK(select({first, pair.near})[0]);  // at once
    });
}

TEST_CASE("an event is set once for all who wait, until it is cleared") {
    Event event;
    CHECK_FALSE(event.is_set());
    std::vector<std::jthread> waiting;
    std::atomic<int> woken{0};
    for (int i = 0; i < 3; ++i) {
        waiting.emplace_back([&] {
            event.wait();
            ++woken;
        });
    }
    std::jthread later;
    on_each_carrier([&] {
        CHECK_FALSE(event.wait_for(1ms));
        CHECK_FALSE(select({event}, 1ms));
        later = std::jthread{[&] { event.set(); }};
        CHECK(select({event})[0]);
        event.wait();
        CHECK(event.wait_for(0s));
        CHECK(event.is_set());
    });
    waiting.clear();
    CHECK(woken == 3);
    event.clear();
    CHECK_FALSE(event.is_set());
    CHECK_FALSE(select({event}, 0s));
}

TEST_CASE("what somebody else has taken is not waited for in vain, nor lost") {
    const TimeLimit limit;
    const Counts before;
    {
        constexpr int values = 2000;
        Queue<int> queue;
        std::atomic<int> taken{0};
        const auto take = [&] {
            for (;;) {
                select({queue});
                while (const auto value = queue.try_pop()) ++taken;
                if (taken == values) return;
            }
        };
        CallingServer server{[&](Calling& handler) {
                                 take();
                                 handler.wfile().write("done\n");
                             },
                             2};
        ServingThread serving{server};
        std::deque<Socket> clients;
        for (int i = 0; i < 4; ++i) clients.push_back(connect(server.server_address()));
        std::vector<std::jthread> threads;
        for (int i = 0; i < 2; ++i) threads.emplace_back(take);
        for (int i = 0; i < values; ++i) queue.push(i);
        CHECK(eventually([&] { return taken == values; }));
        queue.close();
        for (Socket& client : clients) CHECK(client.recv(10) == "done\n");
        threads.clear();
        CHECK(server.errors().empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("a select suspends its fiber alone, also if all wait for the same descriptor") {
    const TimeLimit limit;
    Pair pair = unix_pair();
    std::atomic<int> waiting{0};
    CallingServer server{[&](Calling& handler) {
        ++waiting;
        const Selected selected = select({handler.rfile(), readable(pair.near.fileno())});
        handler.wfile().write(selected[0] ? handler.rfile().readline() : "the other\n");
    }};
    ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 5; ++i) clients.push_back(connect(server.server_address()));
    CHECK(eventually([&] { return waiting == 5; }));
    CHECK(ask(clients[3], "mine\n") == "mine\n");
    pair.far.sendall("x");
    for (const std::size_t i : {0U, 1U, 2U, 4U}) CHECK(clients[i].recv(100) == "the other\n");
    CHECK(server.errors().empty());
}

TEST_CASE("a stop ends a select in a fiber, whatever it waits for") {
    const TimeLimit limit;
    Queue<int> queue;
    Event event;
    Pair pair = unix_pair();
    std::atomic<int> waiting{0};
    CallingServer server{[&](Calling&) {
        switch (waiting++) {
            case 0:
                select({queue, event});
                break;
            case 1:
                select({readable(pair.near.fileno())});
                break;
            default:
                select({}, patience);
        }
    }};
    ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(connect(server.server_address()));
    CHECK(eventually([&] { return waiting == 3; }));
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>(3, "cancelled"));
}
