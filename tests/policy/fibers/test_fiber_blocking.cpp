// SPDX-License-Identifier: MIT
// What blocks a worker, who is told of it, and what a handler finds where it may block.
#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/in_child.hpp"
#include "support/sanitizers.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

std::string text_of_current() {
    try {
        throw;
    } catch (const std::exception& error) {
        return error.what();
    }
}

/// While it is destroyed by an exception: what is seen where blocking is allowed.
struct Unwound {
    int& seen;
    ~Unwound() {
        seen = run_blocking([] { return std::uncaught_exceptions(); });
    }
};

/// A server with a hook of the test.
class Watched : public CallingServer {
  public:
    Watched(std::function<void(Calling&)> handler, std::function<void(Watched&)> hook)
        : CallingServer{std::move(handler)}, hook_{std::move(hook)} {
        report_blocking = 50ms;
    }
    ~Watched() override { server_close(); }
    std::promise<std::string> server_error;

  private:
    void handle_blocking(const Address&, std::chrono::nanoseconds) override { hook_(*this); }
    void handle_server_error(std::exception_ptr error) override {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& other) {
            server_error.set_value(other.what());
        }
    }
    std::function<void(Watched&)> hook_;
};

}  // namespace

TEST_CASE("run_blocking() finds the exception that its caller handles") {
    const TimeLimit limit;
    std::string rethrown;
    bool current = false;
    bool escaped = false;
    std::string afterwards;
    int uncaught = -1;
    in_fiber([&] {
        try {
            throw std::runtime_error("boom");
        } catch (...) {
            rethrown = run_blocking(text_of_current);
            current = run_blocking([] { return std::current_exception() != nullptr; });
            try {
                run_blocking([] { throw; });
            } catch (const std::runtime_error&) {
                escaped = true;
            }
            afterwards = text_of_current();
        }
        if (std::current_exception() != nullptr) afterwards = "still there";
        try {
            const Unwound unwound{uncaught};
            throw std::runtime_error("unwinds");
        } catch (const std::runtime_error&) {
        }
        // The threads that ran this have nothing of it any more.
        if (run_blocking([] { return std::current_exception() != nullptr; })) rethrown = "left";
    });
    CHECK(rethrown == "boom");
    CHECK(current);
    CHECK(escaped);
    CHECK(afterwards == "boom");
    CHECK(uncaught == 1);
}

TEST_CASE("handle_blocking() may stop the server") {
    const TimeLimit limit;
    std::promise<void> stopped;
    Watched server{[&](Calling&) { stopped.get_future().wait(); },
                   [&](Watched& self) {
                       self.shutdown();
                       stopped.set_value();
                   }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client).empty());
    serving.join();
    CHECK(serving.error() == nullptr);
}

TEST_CASE("what handle_blocking() throws goes to handle_server_error()") {
    const TimeLimit limit;
    std::promise<void> thrown;
    Watched server{[&](Calling& handler) {
                       thrown.get_future().wait();
                       handler.wfile().write("done\n");
                   },
                   [](Watched&) { throw std::runtime_error("from the hook"); }};
    std::string error;
    {
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        error = server.server_error.get_future().get();
        thrown.set_value();
        CHECK(read_to_end(client) == "done\n");
    }
    CHECK(error == "from the hook");
}

TEST_CASE("a static variable whose initialiser waits blocks the worker, and is reported") {
    const TimeLimit limit;
    const ChildEnd end = in_child([] {
        Watched server{[](Calling& handler) {
                           handler.wfile().write("begun\n");
                           static const std::string line{handler.rfile().readline()};
                       },
                       [](Watched&) {
                           write_text("[reported]");
                           ::_exit(0);
                       }};
        ServingThread serving{server};
        Socket one = connect(server.server_address());
        one.recv(64);  // its fiber waits in the initialiser
        Socket two = connect(server.server_address());
        read_to_end(two);
    });
    CHECK(end.text == "[reported]");
    CHECK(end.exited_with(0));
}

TEST_CASE("a child that is forked in a fiber waits, and takes nothing from its parent") {
    const TimeLimit limit;
    std::string of_child;
    int status = -1;
    CallingServer server{[&](Calling& handler) {
        if (handler.rfile().readline() == "echo\n") {
            for (std::string_view line : handler.rfile()) handler.wfile().write(line);
            return;
        }
        auto [here, there] = unix_pair();
        const pid_t child = ::fork();
        if (child == 0) {
            sleep_for(1ms);
            yield();
            const std::string line{BufferedReader{there}.readline()};  // waits in the kernel
            there.sendall("child got " + line);
            ::_exit(line == "line\n" ? 7 : 1);
        }
        handler.wfile().write("forked\n");
        handler.rfile().readline();
        here.sendall("line\n");
        of_child = BufferedReader{here}.readline();
        run_blocking([&] { ::waitpid(child, &status, 0); });
    }};
    ServingThread serving{server};
    Socket neighbour = connect(server.server_address());
    neighbour.sendall("echo\n");
    Socket forking = connect(server.server_address());
    forking.sendall("fork\n");
    CHECK(forking.recv(64) == "forked\n");
    for (int i = 0; i < 50; ++i) CHECK(ask(neighbour, "line\n") == "line\n");
    forking.sendall("go on\n");
    CHECK(read_to_end(forking).empty());
    CHECK(ask(neighbour, "line\n") == "line\n");
    serving.stop();
    CHECK(of_child == "child got line\n");
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 7));
}

TEST_CASE("a child whose handler returns ends") {
    const TimeLimit limit;
    int status = -1;
    in_fiber([&] {
        pid_t child = 0;
        Fiber forking = spawn([&] { child = ::fork(); });
        if (child == 0) yield();
        forking.join();
        run_blocking([&] { ::waitpid(child, &status, 0); });
    });
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("a stack size that no address space holds refuses the request, not the server") {
    const TimeLimit limit;
    CallingServer server{[](Calling&) {}};
    server.stack_size = GENERATE(static_cast<std::size_t>(-1), static_cast<std::size_t>(-1) / 64);
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client).empty());
    serving.stop();
    const auto errors = server.errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Catch::Matchers::ContainsSubstring("map the stacks of fibers"));
}
