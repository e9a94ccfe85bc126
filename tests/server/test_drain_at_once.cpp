// SPDX-License-Identifier: MIT
// Several drains, or a drain and a close, of one server at the same time.
#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/no_threads.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

constexpr int many_times = under_tsan ? 50 : 300;

using Server = ErrorCountingServer;

}  // namespace

TEST_CASE("two drains at once of a server that nobody serves") {
    const TimeLimit limit;
    int wrong = 0;
    for (int i = 0; i < many_times; ++i) {
        Server server;
        Socket client = connect(server.server_address());
        client.sendall("hello\n");
        {
            std::vector<std::jthread> threads;
            for (int j = 0; j < 3; ++j) threads.emplace_back([&] { server.drain(20s); });
        }
        if (client.recv(64) != "hello\n" || server.errors != 0) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a drain and a close at once are no error") {
    const TimeLimit limit;
    const bool is_served = GENERATE(false, true);
    CAPTURE(is_served);
    int errors = 0;
    for (int i = 0; i < many_times; ++i) {
        Server server;
        {
            const std::jthread drain{[&] { server.drain(20s); }};
            const std::jthread close{[&] { server.server_close(); }};
            if (is_served) {
                ServingThread serving{server};
                serving.join();
                if (serving.error()) ++errors;
            }
        }
        errors += server.errors;
    }
    CHECK(errors == 0);
}

TEST_CASE("of two drains the one with less time has its way") {
    const TimeLimit limit;
    class Unfinished : public StreamRequestHandler {
        void handle() override {
            wfile().write(rfile().readline());
            rfile().readline();
            rfile().read();
        }
    };
    TCPServer<Unfinished, PreforkMixIn> server{any_port};
    server.workers = 1;
    ServingThread serving{server};
    Socket busy = connect(server.server_address());
    ask(busy, "begun\n");
    busy.sendall("more\n");
    std::jthread patient{[&] { server.drain(1h); }};
    CHECK(eventually([&] { return server.is_draining(); }));
    server.drain(10ms);
    CHECK(read_to_end(busy).empty());
}

TEST_CASE("a drain that gets no thread throws, and has changed nothing") {
    const TimeLimit limit;
    Server server;
    {
        const NoThreads none;
        CHECK_THROWS_AS(server.drain(20s), std::system_error);
    }
    CHECK_FALSE(server.is_draining());
    {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    CHECK(eventually([&] { return server.statistics().active == 0; }));  // or the drain counts it
    Socket client = connect(server.server_address());
    client.sendall("queued\n");
    CHECK(server.drain(20s).finished == 1);
    CHECK(client.recv(64) == "queued\n");
}
