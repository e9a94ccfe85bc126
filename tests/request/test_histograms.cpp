// SPDX-License-Identifier: MIT
// How long requests last and wait, and who is being served, under every policy.
#include <chrono>
#include <string>
#include <vector>

#include "request/shared_counters.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("each time is in the first bucket that it does not exceed") {
    detail::SharedCounters::Times times;
    constexpr auto& bounds = Histogram::bounds;
    for (const auto& bound : bounds) {
        times.add(bound);
        times.add(bound + 1ns);
    }
    times.add(0ns);
    const Histogram read = times.read();
    CHECK(read.counts.front() == 2);
    for (std::size_t i = 1; i < bounds.size(); ++i) CHECK(read.counts[i] == 2);
    CHECK(read.counts.back() == 1);
    CHECK(read.count() == 2 * bounds.size() + 1);
    std::chrono::nanoseconds sum{};
    for (const auto& bound : bounds) sum += 2 * bound + 1ns;
    CHECK(read.sum == sum);
}

template <template <class> class MixIn>
void times_of_requests() {
    const TimeLimit limit;
    TCPServer<EchoLines, MixIn> server{any_port};
    if constexpr (requires { server.workers; }) server.workers = 2;
    ServingThread serving{server, 10ms};
    const auto begin = std::chrono::steady_clock::now();
    constexpr int clients = 20;
    for (int i = 0; i < clients; ++i) CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    {
        Socket slow = connect(server.server_address());
        CHECK(ask(slow, "hello\n") == "hello\n");
        const auto until = std::chrono::steady_clock::now() + 20ms;
        CHECK(eventually([&] { return std::chrono::steady_clock::now() > until; }));
    }
    CHECK(eventually([&] { return server.statistics().closed() == clients + 1; }));
    const auto all = std::chrono::steady_clock::now() - begin;
    // The sums of all processes.
    const Statistics statistics = server.statistics();
    CHECK(statistics.duration.count() == clients + 1);
    CHECK(statistics.waited.count() == clients + 1);
    CHECK(statistics.duration.sum >= 20ms);
    CHECK(statistics.duration.sum < all * (clients + 1));
    CHECK(statistics.waited.sum < statistics.duration.sum);
    std::uint64_t longer = 0;
    for (std::size_t i = 4; i < statistics.duration.counts.size(); ++i) {
        longer += statistics.duration.counts[i];
    }
    CHECK(longer >= 1);  // than 10 ms
}

TEST_CASE("how long requests last and wait is counted: synchronous") {
    times_of_requests<SynchronousMixIn>();
}
TEST_CASE("how long requests last and wait is counted: threading") {
    times_of_requests<ThreadingMixIn>();
}
TEST_CASE("how long requests last and wait is counted: forking") {
    times_of_requests<ForkingMixIn>();
}
TEST_CASE("how long requests last and wait is counted: pool") {
    times_of_requests<ThreadPoolMixIn>();
}
TEST_CASE("how long requests last and wait is counted: prefork") {
    times_of_requests<PreforkMixIn>();
}
TEST_CASE("how long requests last and wait is counted: prefork of threads") {
    times_of_requests<PreforkOf<ThreadingMixIn>::MixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("how long requests last and wait is counted: fiber") { times_of_requests<FiberMixIn>(); }
#endif

TEST_CASE("who waits for a thread of a pool waits, and not for long if there is one") {
    const TimeLimit limit;
    TCPServer<EchoLines, ThreadPoolMixIn> server{any_port};
    server.max_threads = 1;
    ServingThread serving{server, 10ms};
    Socket first = connect(server.server_address());
    CHECK(ask(first, "1\n") == "1\n");
    Socket second = connect(server.server_address());
    second.sendall("2\n");
    CHECK(eventually([&] { return server.statistics().queued == 1; }));
    const auto until = std::chrono::steady_clock::now() + 20ms;
    CHECK(eventually([&] { return std::chrono::steady_clock::now() > until; }));
    CHECK(server.statistics().waited.count() == 1);
    first.close();
    CHECK(second.recv(64) == "2\n");
    CHECK(server.statistics().waited.count() == 2);
    CHECK(server.statistics().waited.sum >= 20ms);
}

template <template <class> class MixIn>
void who_is_there() {
    const TimeLimit limit;
    TCPServer<EchoLines, MixIn> server{any_port};
    ServingThread serving{server, 10ms};
    CHECK(server.connections().empty());
    const auto begin = std::chrono::steady_clock::now();
    Socket first = connect(server.server_address());
    CHECK(ask(first, "1\n") == "1\n");
    Socket second = connect(server.server_address());
    CHECK(ask(second, "22\n") == "22\n");
    second.sendall("half");
    // The last one to come is the first one.
    CHECK(eventually([&] {
        const std::vector<ConnectionInfo> all = server.connections();
        return all.size() == 2 && all[0].bytes_in == 7 && all[1].is_idle;
    }));
    const std::vector<ConnectionInfo> all = server.connections();
    CHECK(all[0].client_address == second.getsockname());
    CHECK_FALSE(all[0].is_idle);
    CHECK(all[0].bytes_out == 3);
    CHECK(all[1].client_address == first.getsockname());
    CHECK(all[1].bytes_in == 2);
    CHECK(all[1].bytes_out == 2);
    CHECK(all[1].opened >= begin);
    CHECK(all[0].opened >= all[1].opened);
    first.close();
    second.close();
    CHECK(eventually([&] { return server.connections().empty(); }));
}

TEST_CASE("connections() lists who is being served: threading") { who_is_there<ThreadingMixIn>(); }
TEST_CASE("connections() lists who is being served: pool") { who_is_there<ThreadPoolMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("connections() lists who is being served: fiber") { who_is_there<FiberMixIn>(); }
#endif

}  // namespace
