// SPDX-License-Identifier: MIT
// relay() in handlers, under every policy: a server between its clients and another server.
#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/policies.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// What the handlers have seen, also in children.
struct Seen {
    std::atomic<int> relaying{0};
    std::atomic<int> ended{0};
    std::atomic<int> cancelled{0};
    std::atomic<int> failed{0};
    std::atomic<int> timed_out{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<RelayEnd> end{RelayEnd::a_failed};
};

class Relaying : public StreamRequestHandler {
  public:
    Relaying(Address target, Seen& seen) : target_{std::move(target)}, seen_{seen} {}

  private:
    void handle() override {
        Socket upstream = create_connection(target_);
        ++seen_.relaying;
        try {
            const RelayResult result = relay(rfile(), upstream);
            seen_.bytes += result.a_to_b + result.b_to_a;
            seen_.end = result.end;
            if (result.end != RelayEnd::finished) ++seen_.failed;
        } catch (const Cancelled&) {
            ++seen_.cancelled;
        } catch (const TimeoutError&) {
            ++seen_.timed_out;
        }
        ++seen_.ended;
    }
    Address target_;
    Seen& seen_;
};

template <template <class> class MixIn>
struct RelayingServer {
    explicit RelayingServer(ServerOptions options = {})
        : server{any_port, options, [this] {
                     return Relaying{target.getsockname(), *seen};
                 }} {}

    Socket target = listening_on(any_port);
    Shared<Seen> seen;
    TCPServer<Relaying, MixIn> server;
};

/// One that serves, with a client and what it is connected to.
template <template <class> class MixIn>
struct Relayed : RelayingServer<MixIn> {
    ServingThread serving{this->server};
    Socket client = connect(this->server.server_address());
    Socket upstream = this->target.accept().first;
};

}  // namespace

TEST_CASE("a relay under every policy passes on much, with the ends of both sides") {
    under_every_policy([]<template <class> class MixIn>() {
        Relayed<MixIn> relaying;
        Socket& client = relaying.client;
        Socket& upstream = relaying.upstream;
        upstream.settimeout(patience);
        const std::string much(2'000'000, 'x');
        std::string echoed;
        std::jthread echo{[&] {
            for (std::string part; !(part = upstream.recv(65536)).empty();) upstream.sendall(part);
            upstream.shutdown(ShutdownHow::write);
        }};
        std::jthread sender{[&] {
            client.sendall(much);
            client.shutdown(ShutdownHow::write);
        }};
        CHECK(receive_all(client) == much);
        CHECK(eventually([&] { return relaying.seen->ended == 1; }));
        CHECK(relaying.seen->bytes == 2 * much.size());
        CHECK(relaying.seen->end.load() == RelayEnd::finished);
    });
}

TEST_CASE("a drain ends the input of a relay whose client owes the next request") {
    under_every_policy([]<template <class> class MixIn>() {
        if (!drains_here<MixIn>) return;
        Relayed<MixIn> relaying;
        Socket& client = relaying.client;
        Socket& upstream = relaying.upstream;
        upstream.settimeout(patience);
        client.sendall("question\n");
        CHECK(upstream.recv(100) == "question\n");
        upstream.sendall("answer\n");
        CHECK(client.recv(100) == "answer\n");
        std::string rest;
        std::jthread other{[&] {
            rest = receive_all(upstream);
            upstream.shutdown(ShutdownHow::write);
        }};
        const Stopwatch watch;
        relaying.server.drain(patience);
        CHECK(watch.elapsed() < patience / 2);
        other.join();
        CHECK(rest.empty());
        CHECK(receive_all(client).empty());
        CHECK(relaying.seen->ended == 1);
        CHECK(relaying.seen->end.load() == RelayEnd::finished);
    });
}

TEST_CASE("a drain breaks a relay off whose time is over, whatever it waits for") {
    under_every_policy([]<template <class> class MixIn>() {
        if (!drains_here<MixIn>) return;
        Relayed<MixIn> relaying;
        Socket& client = relaying.client;
        Socket& upstream = relaying.upstream;
        bool client_has_gone = false;
        SECTION("for an answer") {
            client.sendall("question\n");
            CHECK(upstream.recv(100) == "question\n");
        }
        SECTION("for a side that takes nothing") {
            fill(client);  // with what lies on the way
            CHECK(eventually([&] { return fill(client) == 0; }));
        }
        SECTION("for such a side, and the client has gone") {
            fill(client);
            CHECK(eventually([&] { return fill(client) == 0; }));
            reset(client);
            client_has_gone = true;
        }
        relaying.server.drain(0s);
        relaying.serving.stop();
        relaying.server.server_close();
        CHECK(relaying.server.statistics().active == 0);
        if (serves_in_children<MixIn>) return;  // it was killed
        CHECK(relaying.seen->ended == 1);
        // The relay may see the reset before the drain.
        CHECK(relaying.seen->cancelled + (client_has_gone ? relaying.seen->failed.load() : 0) == 1);
    });
}

TEST_CASE("the time limits of a server end a relay") {
    under_every_policy([]<template <class> class MixIn>() {
        RelayingServer<MixIn> relaying{{.idle_timeout = 50ms, .request_timeout = 100ms}};
        ServingThread serving{relaying.server};
        Socket client = connect(relaying.server.server_address());
        SECTION("idle") {}
        SECTION("in the middle of a request") { client.sendall("question\n"); }
        CHECK(read_to_end(client).empty());
        CHECK(eventually([&] { return relaying.seen->timed_out == 1; }));
    });
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a relay suspends its fiber alone, and a stop ends it") {
    const TimeLimit limit;
    RelayingServer<FiberMixIn> relaying;
    relaying.server.workers = 1;
    ServingThread serving{relaying.server};
    Socket first = connect(relaying.server.server_address());
    Socket second = connect(relaying.server.server_address());
    CHECK(eventually([&] { return relaying.seen->relaying == 2; }));  // at the same time
    serving.stop();
    CHECK(relaying.seen->cancelled == 2);
}
#endif
