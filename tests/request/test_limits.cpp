// SPDX-License-Identifier: MIT
// The limits of ServerOptions: hard, exact, the same under every policy.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "request/limits.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

template <template <class> class MixIn>
class RefusingServer : public TCPServer<EchoLines, MixIn> {
    using Base = TCPServer<EchoLines, MixIn>;

  public:
    using Base::Base;
    ~RefusingServer() override { this->server_close(); }

    std::atomic<int> refused{0};
    std::atomic<int> last_cause{-1};
    std::atomic<int> closed{0};  // of those that were not refused; there is room for as many again

  private:
    void refuse_request(Socket& request, const Address&, RefuseCause cause) override {
        ++refused;
        last_cause = static_cast<int>(cause);
        if (this->options().overload == Overload::close) request.sendall("busy\n");
    }
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        ++closed;
    }
};

/// What a client sees that is refused: the text, or "reset", which may come before connect(2)
/// returns.
std::string refusal(const Address& address) {
    try {
        Socket client = connect(address);
        return client.recv(64);
    } catch (const std::system_error& error) {
        return error.code() == std::errc::connection_reset ? "reset" : error.what();
    }
}

template <template <class> class MixIn>
void check_max_connections() {
    const TimeLimit limit;
    const Overload overload = GENERATE(Overload::wait, Overload::close, Overload::reset);
    RefusingServer<MixIn> server{any_port, {.max_connections = 2, .overload = overload}};
    ServingThread serving{server};
    Socket first = connect(server.server_address());
    Socket second = connect(server.server_address());
    CHECK(ask(first, "1\n") == "1\n");
    CHECK(ask(second, "2\n") == "2\n");

    if (overload == Overload::wait) {
        Socket third = connect(server.server_address());
        third.sendall("3\n");
        first.shutdown(ShutdownHow::write);  // makes the room for which the third waits
        CHECK(third.recv(64) == "3\n");
        CHECK(server.refused == 0);
        CHECK(server.statistics().accepted == 3);
        third.shutdown(ShutdownHow::write);
    } else {
        CHECK(refusal(server.server_address()) ==
              (overload == Overload::close ? "busy\n" : "reset"));
        CHECK(server.refused == 1);
        CHECK(server.last_cause == static_cast<int>(RefuseCause::max_connections));
        CHECK(server.statistics().refused(RefuseCause::max_connections) == 1);
        CHECK(server.statistics().active == 2);
        first.shutdown(ShutdownHow::write);
        CHECK(eventually([&] { return server.closed == 1; }));
        CHECK(server.statistics().active == 1);
        Socket fourth = connect(server.server_address());
        CHECK(ask(fourth, "4\n") == "4\n");
        fourth.shutdown(ShutdownHow::write);
    }
    second.shutdown(ShutdownHow::write);
}

Address ipv6(const char* text) { return {text, 1}; }

}  // namespace

TEST_CASE("max_connections: the next one waits, is closed, or is reset") {
    SECTION("threading") { check_max_connections<ThreadingMixIn>(); }
    SECTION("forking") { check_max_connections<ForkingMixIn>(); }
    SECTION("pool") { check_max_connections<ThreadPoolMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("max_connections: fiber") { check_max_connections<FiberMixIn>(); }
#endif

TEST_CASE("max_connections is hard and exact under a flood of 20,000") {
    const TimeLimit limit{58};
    constexpr int connects = 20'000;
    constexpr std::uint64_t most = 10;
    constexpr int clients = 4;
    RefusingServer<ThreadingMixIn> server{any_port,
                                          {.max_connections = most, .overload = Overload::reset}};
    ServingThread serving{server};
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < clients; ++i) {
        threads.emplace_back([&] {
            // Each holds a few connections, so that there is no room most of the time.
            std::vector<Socket> held(5);
            for (std::size_t n = 0; n < connects / clients; ++n) {
                try {
                    held[n % held.size()] = connect(server.server_address());
                } catch (const std::system_error& error) {
                    // Refused before connect(2) returned: it was accepted all the same.
                    if (error.code() != std::errc::connection_reset) ++failed;
                }
            }
        });
    }
    std::uint64_t highest = 0;
    // `active` counts a refused connection between accept and refusal: one for the serving thread.
    while (server.statistics().accepted < connects && failed == 0) {
        highest = std::max(highest, server.statistics().active);
        std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(failed == 0);
    CHECK(highest <= most + 1);
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    const Statistics statistics = server.statistics();
    CHECK(statistics.accepted == connects);
    CHECK(statistics.refused() == static_cast<std::uint64_t>(server.refused));
    CHECK(statistics.closed() + statistics.refused() == connects);
    CHECK(statistics.refused() > 0);
    CHECK(statistics.closed() >= most);
}

TEST_CASE("max_connections_per_address") {
    const TimeLimit limit;
    RefusingServer<ThreadingMixIn> server{any_port, {.max_connections_per_address = 1}};
    ServingThread serving{server};
    Socket first = connect(server.server_address());
    CHECK(ask(first, "1\n") == "1\n");
    CHECK(refusal(server.server_address()).empty());
    CHECK(server.last_cause == static_cast<int>(RefuseCause::max_connections_per_address));

    Socket other{server.server_address(), SocketType::stream};
    other.bind({"127.0.0.2", 0});
    other.settimeout(patience);
    other.connect(server.server_address());
    CHECK(ask(other, "other\n") == "other\n");

    first.close();
    CHECK(eventually([&] { return server.closed == 1; }));
    CHECK(ask(server.server_address(), "again\n") == "again\n");
}

TEST_CASE("a client of IPv6 is its network of 64 bits, an IPv4 client in IPv6 itself") {
    detail::Limits limits{{.max_connections_per_address = 1}, true};
    CHECK(limits.take_share(ipv6("2001:db8:0:1::1")));
    CHECK_FALSE(limits.take_share(ipv6("2001:db8:0:1:ffff::2")));
    CHECK(limits.take_share(ipv6("2001:db8:0:2::1")));
    CHECK(limits.take_share(ipv6("::ffff:192.0.2.1")));
    CHECK(limits.take_share(ipv6("::ffff:192.0.2.2")));
    CHECK_FALSE(limits.take_share({"192.0.2.1", 7}));
    CHECK(limits.take_share("@nobody"));
    CHECK(limits.take_share("@nobody"));
    limits.give_back_share(ipv6("2001:db8:0:1::1"));
    CHECK(limits.take_share(ipv6("2001:db8:0:1::3")));
}

TEST_CASE("max_accept_rate") {
    const TimeLimit limit;
    const Overload overload = GENERATE(Overload::wait, Overload::close);
    RefusingServer<ThreadingMixIn> server{any_port, {.max_accept_rate = 20, .overload = overload}};
    ServingThread serving{server};
    const auto begin = std::chrono::steady_clock::now();
    int served = 0;
    for (int i = 0; i < 10; ++i) {
        Socket client = connect(server.server_address());
        try {
            if (ask(client, "x\n") == "x\n") ++served;
        } catch (const std::system_error&) {  // refused, and sent to afterwards
        }
    }
    const auto lasted = std::chrono::steady_clock::now() - begin;
    // Two at once, then one each 50 ms.
    if (overload == Overload::wait) {
        CHECK(served == 10);
        CHECK(lasted >= 400ms);
    } else {
        CHECK(served >= 2);
        CHECK(served <= 2 + lasted / 50ms);
        CHECK(server.statistics().refused(RefuseCause::max_accept_rate) ==
              static_cast<std::uint64_t>(server.refused));
    }
}

TEST_CASE("by default there are fewer connections than there can be descriptors") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit small = before;
    small.rlim_cur = 100;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &small) == 0);
    detail::Limits limits{{}, true};
    detail::Limits datagrams{{}, false};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    const auto takes = [](detail::Limits& from) {
        detail::Place place;
        from.take(place);
        return !place.refused;
    };
    int taken = 0;
    while (takes(limits)) ++taken;
    CHECK(taken == 84);
    for (int i = 0; i < 200; ++i) taken += takes(datagrams) ? 1 : 0;
    CHECK(taken == 284);
}

TEST_CASE("pause() leaves clients in the kernel's queue, resume() serves them") {
    const TimeLimit limit;
    RefusingServer<ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket served = connect(server.server_address());
    CHECK(ask(served, "before\n") == "before\n");
    server.pause();
    // One that is accepted just now may still get through; the next is waited for after it.
    Socket waiting = connect(server.server_address());
    waiting.sendall("after\n");
    CHECK(ask(served, "during\n") == "during\n");
    waiting.settimeout(50ms);
    CHECK_THROWS_AS(waiting.recv(64), TimeoutError);
    CHECK(server.statistics().accepted == 1);
    server.resume();
    waiting.settimeout(patience);
    CHECK(waiting.recv(64) == "after\n");
}
