// SPDX-License-Identifier: MIT
// handle_request() and its time, and what else a loop does between requests.
#include <chrono>
#include <thread>

#include <poll.h>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;

/// Counts how often nobody came in time.
class TimedServer : public TCPServer<StreamEcho> {
  public:
    explicit TimedServer(const ServerOptions& options = {}) : TCPServer{any_port, options} {}

    int timeouts = 0;

  protected:
    void handle_timeout() override { ++timeouts; }
};

/// How long f takes.
template <class F>
Clock::duration time_of(F f) {
    const auto begin = Clock::now();
    f();
    return Clock::now() - begin;
}

}  // namespace

TEST_CASE("handle_request() waits for its time, then calls handle_timeout()") {
    const TimeLimit limit;
    SECTION("the timeout of the options") {
        TimedServer server{{.timeout = 30ms}};
        CHECK(time_of([&] { server.handle_request(); }) >= 30ms);
        CHECK(server.timeouts == 1);
    }
    SECTION("the timeout of the listening socket") {
        TimedServer server;
        server.socket().settimeout(30ms);
        CHECK(time_of([&] { server.handle_request(); }) >= 30ms);
        CHECK(server.timeouts == 1);
    }
    SECTION("the shorter of both") {
        TimedServer server{{.timeout = 1h}};
        server.socket().settimeout(30ms);
        CHECK(time_of([&] { server.handle_request(); }) >= 30ms);
        CHECK(server.timeouts == 1);
    }
    SECTION("zero: a poll") {
        TimedServer server{{.timeout = 0ms}};
        server.handle_request();
        CHECK(server.timeouts == 1);
        Socket client = connect(server.server_address());
        client.sendall("x\n");
        server.handle_request();
        CHECK(read_to_end(client) == "x\n");
        CHECK(server.timeouts == 1);
    }
    SECTION("none: until somebody stops it") {
        TimedServer server;
        std::thread stopper{[&server] { server.shutdown(); }};
        server.handle_request();
        stopper.join();
        CHECK(server.timeouts == 0);
    }
}

TEST_CASE("serve_forever() ignores the timeout of handle_request()") {
    const TimeLimit limit;
    TimedServer server{{.timeout = 1ms}};
    {
        ServingThread serving{server, 5ms};
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        CHECK(ask(server.server_address(), "y\n") == "y\n");
    }
    CHECK(server.timeouts == 0);
}

TEST_CASE("a timeout of the listening socket is none of the accepted one") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override { wfile().write(request().gettimeout() ? "timed" : "untimed"); }
    };
    TCPServer<Handler> server{any_port};
    server.socket().settimeout(1ms);
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client) == "untimed");
}

TEST_CASE("service_actions() is called at least every poll interval") {
    const TimeLimit limit;
    class Server : public TCPServer<StreamEcho> {
      public:
        Server() : TCPServer{any_port} {}
        int count = 0;

      protected:
        void service_actions() override {
            if (++count == 10) shutdown();
        }
    };
    Server server;
    const auto lasted = time_of([&] { server.serve_forever(5ms); });
    CHECK(server.count == 10);
    CHECK(lasted >= 50ms);
}

TEST_CASE("a server in a poll loop of one's own") {
    const TimeLimit limit;
    TimedServer server;
    TimedServer other;
    Socket client = connect(other.server_address());
    client.sendall("x\n");
    pollfd entries[]{{server.fileno(), POLLIN, 0}, {other.fileno(), POLLIN, 0}};
    REQUIRE(::poll(entries, 2, 30'000) == 1);
    CHECK(entries[0].revents == 0);
    REQUIRE(entries[1].revents == POLLIN);
    other.handle_request();
    CHECK(read_to_end(client) == "x\n");
}
