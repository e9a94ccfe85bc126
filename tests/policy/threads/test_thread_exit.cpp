// SPDX-License-Identifier: MIT
// A handler that ends its thread by pthread_exit() ends its request, and nothing else.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <string>
#include <type_traits>

#include <pthread.h>

#include "socketserver/fiber.hpp"
#include "socketserver/fiber_mixin.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

class Exiting : public StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            if (line == "exit\n") ::pthread_exit(nullptr);
            if (line == "exit where it may block\n") {
                run_blocking([] { ::pthread_exit(nullptr); });
            }
            if (line == "exit a sibling\n") {
                spawn([] { ::pthread_exit(nullptr); }).join();
                wfile().write("joined\n");
                continue;
            }
            wfile().write(line);
        }
    }
};

template <class Server>
struct Workers : Server {
    Workers() : Server{any_port} {}
    ~Workers() override { this->server_close(); }
};

template <unsigned count>
struct Fibers : FiberTCPServer<Exiting> {
    Fibers() : FiberTCPServer<Exiting>{any_port} { workers = count; }
};

template <std::size_t count>
struct Pool : ThreadPoolTCPServer<Exiting> {
    Pool() : ThreadPoolTCPServer<Exiting>{any_port} { max_threads = count; }
    ~Pool() override { this->server_close(); }
};

}  // namespace

TEMPLATE_TEST_CASE("pthread_exit() in a handler ends one request", "",
                   Workers<ThreadingTCPServer<Exiting>>, Pool<4>, Fibers<1>, Fibers<2>) {
    if (!may_exit_threads) return;
    if (std::is_base_of_v<FiberTCPServer<Exiting>, TestType> && !may_exit_thread_in_fibers) return;
    const TimeLimit limit;
    TestType server;
    {
        ServingThread serving{server};
        Socket other = connect(server.server_address());
        CHECK(ask(other, "line\n") == "line\n");
        for (int i = 0; i < 8; ++i) {  // more than the pool has threads
            Socket client = connect(server.server_address());
            CHECK(ask(client, "line\n") == "line\n");
            client.sendall(i % 2 == 0 ? "exit\n" : "exit where it may block\n");
            CHECK(read_to_end(client).empty());
            CHECK(ask(other, "line\n") == "line\n");
        }
        CHECK(eventually([&] { return server.statistics().active == 1; }));
        other.sendall("exit a sibling\n");
        CHECK(other.recv(64) == "joined\n");
    }
    server.server_close();
    CHECK(server.statistics().active == 0);
    CHECK(server.statistics().threads == 0);
}

TEST_CASE("a request in the queue is served when the one thread of the pool has exited") {
    if (!may_exit_threads) return;
    const TimeLimit limit;
    Pool<1> server;
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    CHECK(ask(one, "line\n") == "line\n");
    Socket two = connect(server.server_address());
    two.sendall("line\n");
    REQUIRE(eventually([&] { return server.queued_requests() == 1; }));
    one.sendall("exit\n");
    CHECK(two.recv(64) == "line\n");
    CHECK(read_to_end(one).empty());
}

TEST_CASE(
    "a request in the queue is closed if there is no thread in place of the one that exited") {
    if (!may_exit_threads) return;
    const TimeLimit limit;
    std::atomic<bool> fails{false};
    const Scripted<&Calls::pthread_create> pthread_create{[&](auto... arguments) {
        return fails ? EAGAIN : sys::kernel.pthread_create(arguments...);
    }};
    Pool<1> server;
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    CHECK(ask(one, "line\n") == "line\n");
    Socket two = connect(server.server_address());
    two.sendall("line\n");
    REQUIRE(eventually([&] { return server.queued_requests() == 1; }));
    fails = true;
    one.sendall("exit\n");
    CHECK(read_to_end(two).empty());
    CHECK(read_to_end(one).empty());
    fails = false;
    CHECK(ask(server.server_address(), "line\n") == "line\n");
}
