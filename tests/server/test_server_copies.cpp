// SPDX-License-Identifier: MIT
// A server that was made before the program forked, and is served in the child or in several.
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sys/types.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/forked_program.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Echo = TCPServer<StreamEcho>;

std::string unix_path() {
    return (std::filesystem::temp_directory_path() /
            ("socketserver-copies-" + std::to_string(::getpid())))
        .string();
}

/// Echoes a line; "stop" stops the server as well.
class StopOnRequest : public StreamRequestHandler {
    void handle() override {
        const std::string line{rfile().readline()};
        if (line == "stop\n") server().shutdown();
        wfile().write(line);
    }
};

bool is_served(const Address& address) {
    try {
        return ask(address, "x\n") == "x\n";
    } catch (const std::system_error&) {
        return false;
    }
}

}  // namespace

TEST_CASE("of several copies that are served a signal stops the one that gets it") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    const bool drains = GENERATE(false, true);
    const bool is_unix = GENERATE(false, true);
    CAPTURE(drains, is_unix);
    const auto check = [&](auto& server) {
        const Address address = server.server_address();
        const ProcessEvent serves;
        const auto program = [&] {
            std::unique_ptr<ShutdownOnSignal> signals;
            if (drains) {
                signals = std::make_unique<ShutdownOnSignal>(server, DrainFor{20s});
            } else {
                signals = std::make_unique<ShutdownOnSignal>(server);
            }
            serves.set();
            server.serve_forever(1h);
            server.server_close();
            return 7;
        };
        std::vector<std::unique_ptr<ForkedProgram>> copies;
        for (int i = 0; i < 3; ++i) copies.push_back(std::make_unique<ForkedProgram>(program));
        for (int i = 0; i < 3; ++i) serves.wait();
        while (!copies.empty()) {
            CHECK(is_served(address));
            ::kill(copies.back()->pid(), SIGTERM);
            CHECK(copies.back()->wait() == 7);
            copies.pop_back();
        }
        if (is_unix) CHECK(std::filesystem::exists(address.path()));
        // Nobody has stopped the one that made it.
        ServingThread serving{server};
        CHECK(is_served(address));
    };
    if (is_unix) {
        const Address address = Address{unix_path()};
        {
            UnixStreamServer<StreamEcho> server{address};
            check(server);
        }
        CHECK_FALSE(std::filesystem::exists(address.path()));
    } else {
        Echo server{any_port};
        check(server);
    }
}

TEST_CASE("a program becomes a daemon with its server") {
    const TimeLimit limit;
    const bool serves_before_parent_ends = GENERATE(false, true);
    const bool is_unix = GENERATE(false, true);
    CAPTURE(serves_before_parent_ends, is_unix);
    const Address address = is_unix ? Address{unix_path()} : any_port;
    const Shared<std::atomic<int>> port;
    const ProcessEvent parent_ended;
    const ProcessEvent serves;
    const Shared<std::atomic<pid_t>> daemon;
    const auto program = [&](auto& server) {
        *port = is_unix ? 0 : server->server_address().port();
        if (::fork() != 0) {
            if (serves_before_parent_ends) serves.wait();
            server.reset();  // as when main() returns
            return 7;
        }
        ::alarm(50);
        *daemon = ::getpid();
        if (!serves_before_parent_ends) parent_ended.wait();
        std::thread first{[&] {
            ask(server->server_address(), "it serves\n");
            serves.set();
        }};
        server->serve_forever(1h);
        first.join();
        server.reset();
        return 8;
    };
    CHECK(run_in_child([&] {
              if (is_unix) {
                  auto server = std::make_unique<UnixStreamServer<StopOnRequest>>(address);
                  return program(server);
              }
              auto server = std::make_unique<TCPServer<StopOnRequest>>(address);
              return program(server);
          }) == 7);
    if (!serves_before_parent_ends) {
        parent_ended.set();
        serves.wait();
    }
    const Address at =
        is_unix ? address : Address{"127.0.0.1", static_cast<std::uint16_t>(port->load())};
    CHECK(is_served(at));
    CHECK(ask(at, "stop\n") == "stop\n");
    // The copy is the last one, and cleans up.
    CHECK(eventually([&] { return ::kill(*daemon, 0) == -1; }));
    if (is_unix) CHECK_FALSE(std::filesystem::exists(address.path()));
}

TEST_CASE("what a copy counts is its own") {
    const TimeLimit limit;
    Echo server{any_port};
    CHECK(run_in_child([&] {
              ServingThread serving{server};
              ask(server.server_address(), "x\n");
              server.drain(20s);
              return server.statistics().accepted == 1 ? 7 : 1;
          }) == 7);
    CHECK(server.statistics().accepted == 0);
    CHECK_FALSE(server.is_draining());
}

TEST_CASE("shutdown() in a child that does not serve still stops the parent") {
    const TimeLimit limit;
    Echo server{any_port};
    ServingThread serving{server};
    CHECK(run_in_child([&] {
              server.shutdown();
              return 7;
          }) == 7);
    serving.join();
    CHECK_FALSE(serving.error());
}
