// SPDX-License-Identifier: MIT
// Limits and timeouts that are changed while the server serves, under every policy.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

template <class Server>
constexpr bool is_prefork = requires(Server& server) {
    server.worker_pids();
};

/// Echoes lines, and says so if the next one does not begin in time.
class Timed : public StreamRequestHandler {
    void handle() override {
        try {
            for (std::string_view line : rfile()) wfile().write(line);
        } catch (const IdleTimeout&) {
            wfile().write("idle\n");
        }
    }
};

template <template <class> class MixIn>
void change_limits() {
    const TimeLimit limit;
    using Server = TCPServer<EchoLines, MixIn>;
    Server server{any_port, {.max_connections = 2, .overload = Overload::wait}};
    if constexpr (is_prefork<Server>) server.workers = 3;
    ServingThread serving{server, 10ms};
    const Address& address = server.server_address();
    Socket first = connect(address);
    Socket second = connect(address);
    CHECK(ask(first, "1\n") == "1\n");
    CHECK(ask(second, "2\n") == "2\n");
    Socket third = connect(address);
    third.sendall("3\n");
    third.settimeout(50ms);
    CHECK_THROWS_AS(third.recv(64), TimeoutError);
    third.settimeout(patience);

    // Who waits for room is served as soon as there is more.
    LiveOptions options = server.live_options();
    CHECK(options == LiveOptions{.max_connections = 2});
    options.max_connections = 3;
    server.set_live_options(options);
    CHECK(server.live_options() == options);
    CHECK(server.options().max_connections == 2);
    CHECK(third.recv(64) == "3\n");

    // Less room sends nobody away, and is kept as soon as they have gone.
    options.max_connections = 1;
    server.set_live_options(options);
    CHECK(ask(first, "1\n") == "1\n");
    CHECK(ask(third, "3\n") == "3\n");
    first.close();
    second.close();
    CHECK(eventually([&] { return server.statistics().active == 1; }));
    Socket fourth = connect(address);
    fourth.sendall("4\n");
    fourth.settimeout(50ms);
    CHECK_THROWS_AS(fourth.recv(64), TimeoutError);
    fourth.settimeout(patience);
    third.close();
    CHECK(fourth.recv(64) == "4\n");
    fourth.close();
    CHECK(eventually([&] { return server.statistics().active == 0; }));

    // No limit, then one that was not there before.
    options = {.max_connections = 0, .max_connections_per_address = 1};
    server.set_live_options(options);
    {
        Socket one = connect(address);
        CHECK(ask(one, "1\n") == "1\n");
        Socket other = connect(address);
        CHECK(read_to_end(other).empty());
    }
    CHECK(eventually([&] {
        return server.statistics().refused(RefuseCause::max_connections_per_address) == 1;
    }));
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    server.set_live_options({});
    {
        Socket one = connect(address);
        Socket other = connect(address);
        CHECK(ask(one, "1\n") == "1\n");
        CHECK(ask(other, "2\n") == "2\n");
    }
}

template <template <class> class MixIn>
void change_timeouts() {
    const TimeLimit limit;
    using Server = TCPServer<Timed, MixIn>;
    Server server{any_port};
    ServingThread serving{server, 10ms};
    const Address& address = server.server_address();
    {
        Socket client = connect(address);
        CHECK(ask(client, "1\n") == "1\n");
        // From the next wait on, of a connection that is there already.
        server.set_live_options({.idle_timeout = 50ms});
        CHECK(ask(client, "2\n") == "2\n");
        CHECK(client.recv(64) == "idle\n");
        CHECK(client.recv(64).empty());
    }
    {
        Socket client = connect(address);
        server.set_live_options({.idle_timeout = 10min, .request_timeout = 50ms});
        client.sendall("half");
        CHECK(client.recv(64).empty());
    }
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::timed_out) == 1; }));
    {
        // No timeout again: the deadline of the request before is none any more.
        Socket client = connect(address);
        CHECK(ask(client, "1\n") == "1\n");
        server.set_live_options({});
        CHECK(ask(client, "2\n") == "2\n");
        client.sendall("ha");
        std::this_thread::sleep_for(100ms);  // twice the time that there was
        CHECK(ask(client, "lf\n") == "half\n");
    }
}

#define EVERY_POLICY(name, test)                              \
    TEST_CASE(name ": threading") { test<ThreadingMixIn>(); } \
    TEST_CASE(name ": forking") { test<ForkingMixIn>(); }     \
    TEST_CASE(name ": pool") { test<ThreadPoolMixIn>(); }     \
    TEST_CASE(name ": prefork") { test<PreforkMixIn>(); }     \
    TEST_CASE(name ": prefork of threads") { test<PreforkOf<ThreadingMixIn>::MixIn>(); }

EVERY_POLICY("limits change while serving", change_limits)
EVERY_POLICY("timeouts change while serving", change_timeouts)
TEST_CASE("timeouts change while serving: synchronous") { change_timeouts<SynchronousMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("limits change while serving: fiber") { change_limits<FiberMixIn>(); }
TEST_CASE("timeouts change while serving: fiber") { change_timeouts<FiberMixIn>(); }
#endif

TEST_CASE("what a worker, or a child, changes is in force in all processes") {
    const TimeLimit limit;
    class Changing : public StreamRequestHandler {
        void handle() override {
            LiveOptions options = server().live_options();
            options.max_accept_rate = options.max_accept_rate.value_or(1000) + 1;
            server().set_live_options(options);
            wfile().write(rfile().readline());
        }
    };
    const auto check = [](auto& server) {
        ServingThread serving{server, 10ms};
        for (std::size_t turn = 1; turn <= 3; ++turn) {
            CHECK(ask(server.server_address(), "hello\n") == "hello\n");
            CHECK(server.live_options().max_accept_rate == 1000 + turn);
        }
    };
    ForkingTCPServer<Changing> forking{any_port};
    check(forking);
    TCPServer<Changing, PreforkMixIn> prefork{any_port};
    check(prefork);
}

TEST_CASE("changed from several threads under load, nobody is counted twice") {
    const TimeLimit limit;
    ThreadingTCPServer<StreamEcho> server{any_port, {.max_connections = 4}};
    ServingThread serving{server, 10ms};
    std::atomic<bool> ending{false};
    std::jthread changing{[&] {
        for (std::size_t turn = 0; !ending; ++turn) {
            LiveOptions options{.max_connections = turn % 7};  // at times no limit
            if (turn % 2 == 0) options.max_connections_per_address = 1000;
            if (turn % 3 == 0) options.max_accept_rate = 1'000'000;
            if (turn % 5 == 0) options.idle_timeout = 10min;
            server.set_live_options(options);
        }
    }};
    std::atomic<int> answered{0};
    {
        std::vector<std::jthread> clients;
        for (int i = 0; i < 4; ++i) {
            clients.emplace_back([&] {
                for (int turn = 0; turn < 100; ++turn) {
                    if (ask(server.server_address(), "hello\n") == "hello\n") ++answered;
                }
            });
        }
    }
    ending = true;
    changing.join();
    CHECK(answered == 400);
    server.set_live_options({.max_connections = 1, .max_connections_per_address = 1});
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(ask(server.server_address(), "room\n") == "room\n");
}

}  // namespace
