// SPDX-License-Identifier: MIT
// What waits in a fiber for several things at once: relay() and select(), by the registrations of
// their connections.
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "socketserver/fiber.hpp"
#include "socketserver/relay.hpp"
#include "socketserver/select.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/fiber_serving.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// Runs the function in a fiber, and when it waits, the other function in another fiber of the same
/// worker.
void in_two_fibers(const std::function<void()>& waiting, const std::function<void()>& other) {
    in_fiber([&] {
        Fiber waits{waiting};
        sleep_for(1ms);  // suspends: the new fiber runs until it waits
        other();
        waits.join();
    });
}

void send_urgent(Socket& socket) { CHECK(::send(socket.fileno(), "!", 1, MSG_OOB) == 1); }

}  // namespace

TEST_CASE("a message through a relay in a fiber is a receive and a send") {
    Pair a = tcp_pair();
    Pair b = tcp_pair();
    std::atomic<int> calls{0};
    RelayResult result;
    const auto ask = [&](int times) {
        for (int i = 0; i < times; ++i) {
            a.far.sendall("question");
            REQUIRE(b.far.recv(100) == "question");
            b.far.sendall("answer");
            REQUIRE(a.far.recv(100) == "answer");
        }
    };
    {
        const Scripted<&Calls::epoll_ctl> epoll_ctl{[&](auto... arguments) {
            ++calls;
            return sys::kernel.epoll_ctl(arguments...);
        }};
        const Scripted<&Calls::poll> poll{[&](auto... arguments) {
            ++calls;
            return sys::kernel.poll(arguments...);
        }};
        std::jthread peers;
        int calls_for_messages = -1;
        in_fiber([&] {
            peers = std::jthread{[&] {
                ask(10);
                const int before = calls;
                ask(100);
                calls_for_messages = calls - before;
                a.far.close();
                b.far.close();
            }};
            result = relay(a.near, b.near);
        });
        peers.join();
        // The peers of this test wait in the kernel without poll(2).
        CHECK(calls_for_messages == 0);
    }
    CHECK(result == RelayResult{.a_to_b = 110 * 8, .b_to_a = 110 * 6});
}

TEST_CASE("a select and a receive in another fiber wait for the same connection") {
    Pair pair = tcp_pair();
    const bool selects_first = GENERATE(true, false);
    bool is_ready = false;
    std::string received;
    const auto selecting = [&] { is_ready = select({pair.near}, patience)[0]; };
    const auto receiving = [&] { received = pair.near.recv(100); };
    const Stopwatch watch;
    in_fiber([&] {
        Fiber first{selects_first ? std::function<void()>{selecting} : receiving};
        Fiber second{selects_first ? std::function<void()>{receiving} : selecting};
        sleep_for(1ms);  // suspends: both begin to wait
        pair.far.sendall("x");
        first.join();
        second.join();
    });
    CHECK(is_ready);
    CHECK(received == "x");
    CHECK(watch.elapsed() < patience);
}

TEST_CASE("closing a connection ends a select and a relay that wait for it") {
    const TimeLimit limit;
    Pair a = tcp_pair();
    Pair b = tcp_pair();
    int error = 0;
    const std::function<void()> relaying = [&] {
        error = error_of([&] { relay(a.near, b.near); });
    };
    const std::function<void()> selecting = [&] {
        error = error_of([&] { select({a.near, b.near}, patience); });
    };
    const bool relays = GENERATE(true, false);
    SECTION("in another fiber") {
        in_two_fibers(relays ? relaying : selecting, [&] { b.near.close(); });
    }
    SECTION("in another thread") {
        in_two_fibers(relays ? relaying : selecting,
                      [&] { std::jthread{[&] { b.near.close(); }}.join(); });
    }
    CHECK(error == EBADF);
    a.far.sendall("still there");
    CHECK(a.near.recv(100) == "still there");
}

TEST_CASE("select in a fiber is not ready for urgent data, nor for input that is gone") {
    const TimeLimit limit;
    Pair pair = tcp_pair();
    Event never_set;
    in_fiber([&] {
        CHECK_FALSE(select({pair.near, never_set}, 1ms));  // registers
        send_urgent(pair.far);
        CHECK_FALSE(select({pair.near, never_set}, 20ms));
        pair.far.sendall("all");
        CHECK(select({pair.near, never_set}, patience)[0]);
        CHECK(pair.near.recv(3) == "all");
    });
    Pair other = tcp_pair();
    in_fiber([&] {
        CHECK_FALSE(select({other.near, never_set}, 1ms));
        other.far.sendall("abc");
        sleep_for(5ms);                      // it is reported meanwhile
        CHECK(other.near.recv(3) == "abc");  // no receive has found that this was all
        CHECK_FALSE(select({other.near, never_set}, 20ms));
        other.far.shutdown(ShutdownHow::write);
        CHECK(select({other.near, never_set}, patience)[0]);
        CHECK(select({other.near, never_set}, patience)[0]);  // for as long as it is there
        CHECK(other.near.recv(3).empty());
    });
}

TEST_CASE("a relay of a connection with itself sends everything back") {
    const TimeLimit limit;
    Pair pair = tcp_pair();
    pair.far.settimeout(patience);
    std::string echoed;
    std::jthread peer{[&] {
        pair.far.sendall("echo");
        echoed = pair.far.recv(100);
        pair.far.close();
    }};
    in_fiber([&] { relay(pair.near, pair.near); });
    peer.join();
    CHECK(echoed == "echo");
}

TEST_CASE("many relays at once, between peers that send, stop and go at any time") {
    const TimeLimit limit;
    constexpr int relays = 50;
    std::atomic<int> ended{0};
    std::atomic<std::uint64_t> passed_on{0};
    Socket target = listening_on({"127.0.0.1", 0});
    CallingServer server{[&](Calling& handler) {
                             Socket upstream = create_connection(target.getsockname());
                             const RelayResult result = relay(handler.rfile(), upstream);
                             passed_on += result.a_to_b + result.b_to_a;
                             ++ended;
                         },
                         2};
    ServingThread serving{server};
    std::atomic<std::uint64_t> sent{0};
    {
        std::vector<std::jthread> peers;
        for (int i = 0; i < relays; ++i) {
            Socket client = connect(server.server_address());
            Socket upstream = target.accept().first;
            for (Socket* each : {&client, &upstream}) {
                peers.emplace_back([&sent, i, socket = std::move(*each)]() mutable {
                    socket.settimeout(patience);
                    const std::string data(static_cast<std::size_t>(1 + i * 97), 'x');
                    for (int turn = 0; turn < 20; ++turn) {
                        socket.sendall(data);
                        sent += data.size();
                        if (turn % 5 != i % 5) continue;
                        // As much as the other side has sent by then at least.
                        for (std::size_t got = 0; got < data.size();) {
                            got += socket.recv(data.size() - got).size();
                        }
                    }
                    socket.shutdown(ShutdownHow::write);
                    receive_all(socket);
                });
            }
        }
    }
    CHECK(eventually([&] { return ended == relays; }));
    CHECK(passed_on == sent);
    CHECK(server.errors().empty());
}
