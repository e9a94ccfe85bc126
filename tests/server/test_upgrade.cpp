// SPDX-License-Identifier: MIT
// UpgradeOnSignal where there is no new version; tests/examples/upgrade.py has those that there
// are.
#include "socketserver/upgrade.hpp"

#include <atomic>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Keeps what handle_server_error() is told.
class Told : public ThreadingTCPServer<StreamEcho> {
  public:
    Told() : TCPServer{any_port} {}
    ~Told() override { server_close(); }

    std::string last_error() {
        const std::lock_guard lock{mutex_};
        return last_;
    }
    std::atomic<int> errors{0};

  private:
    void handle_server_error(std::exception_ptr error) override {
        try {
            std::rethrow_exception(error);
        } catch (const UpgradeError& failure) {
            const std::lock_guard lock{mutex_};
            last_ = failure.what();
        }
        ++errors;
    }
    std::mutex mutex_;
    std::string last_;
};

TEST_CASE("a new version that is none: it is told, and the old one serves on") {
    const TimeLimit limit;
    struct Case {
        std::vector<std::string> command;
        std::string error;
    };
    const std::vector<Case> cases{
        {{"/bin/sh", "-c", "exit 3"}, "upgrade: the new version has ended with status 3"},
        {{"/bin/sh", "-c", "kill -9 $$"}, "upgrade: the new version has ended, by signal 9"},
        {{"/nowhere/program"},
         "upgrade: the new version cannot be executed: No such file or directory"},
        {{"/bin/sleep", "600"}, "upgrade: the new version was not ready in time"},
        // It says nothing, closes what it would say it by, and goes on.
        {{"/bin/sh", "-c", "eval \"exec $SOCKETSERVER_READY_FD>&-\"; exec sleep 600"},
         "upgrade: the new version was not ready in time"},
    };
    for (const Case& each : cases) {
        CAPTURE(each.error);
        Told server;
        ServingThread serving{server};
        const Counts before;
        {
            const UpgradeOnSignal upgrade{
                server, {.command = each.command, .ready_within = 300ms}, {SIGUSR1}};
            for (int turn = 1; turn <= 2; ++turn) {
                std::raise(SIGUSR1);
                CHECK(eventually([&] { return server.errors == turn; }));
                CHECK(server.last_error() == each.error);
            }
            CHECK_FALSE(upgrade.is_replaced());
        }
        CHECK(before.children == Counts{}.children);
        CHECK(before.descriptors == Counts{}.descriptors);
        CHECK(ask(server.server_address(), "still here\n") == "still here\n");
    }
}

TEST_CASE("what the new version is given") {
    const TimeLimit limit;
    Told first;
    Told second;
    ServingThread serving{first};
    ServingThread other{second};
    // Both sockets, as a service manager passes them; then it says that it is ready. A shell takes
    // the zeros in front of its process id for the sign of another base: they are cut off.
    const std::string script =
        "test $LISTEN_FDS = 2 && test ${LISTEN_PID#${LISTEN_PID%%[!0]*}} = $$ && "
        "test -S /proc/$$/fd/3 && test -S /proc/$$/fd/4 && test $WATCHDOG_PID && "
        "test -z \"$LISTEN_FDNAMES\" && eval \"printf r >&$SOCKETSERVER_READY_FD\"";
    ::setenv("WATCHDOG_PID", "1", 1);
    ::setenv("LISTEN_FDNAMES", "another's", 1);
    std::optional<UpgradeOnSignal> upgrade;
    upgrade.emplace(std::vector<std::reference_wrapper<ServerBase>>{first, second},
                    Upgrade{.command = {"/bin/sh", "-c", script}, .drain_within = 5s},
                    std::initializer_list<int>{SIGUSR1});
    std::raise(SIGUSR1);
    serving.join();
    other.join();
    ::unsetenv("WATCHDOG_PID");
    ::unsetenv("LISTEN_FDNAMES");
    CHECK(upgrade->is_replaced());
    upgrade.reset();  // waits for the drain
    CHECK(first.errors == 0);
    CHECK(first.fileno() == -1);
    CHECK(second.fileno() == -1);
}

TEST_CASE("the object goes while a new version starts, and kills it") {
    const TimeLimit limit;
    const Counts before;
    Told server;
    ServingThread serving{server};
    {
        const UpgradeOnSignal upgrade{server, {.command = {"/bin/sleep", "600"}}, {SIGUSR1}};
        std::raise(SIGUSR1);
        CHECK(eventually([&] { return Counts{}.children == before.children + 1; }));
    }
    CHECK(Counts{}.children == before.children);
    CHECK(server.errors == 0);
    CHECK(ask(server.server_address(), "still here\n") == "still here\n");
    CHECK_THROWS_AS(UpgradeOnSignal(std::vector<std::reference_wrapper<ServerBase>>{}),
                    std::invalid_argument);
}

}  // namespace
