// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/forking_serving.hpp"
#include "support/scripted_sys.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// A child of the test's own, which lives until the object goes.
class OtherChild {
  public:
    OtherChild() : pid_{::fork()} {
        while (pid_ == 0) ::pause();
    }
    OtherChild(const OtherChild&) = delete;
    OtherChild& operator=(const OtherChild&) = delete;
    ~OtherChild() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

  private:
    pid_t pid_;
};

}  // namespace

TEST_CASE("forking: each request in a process of its own, which is gone afterwards") {
    const TimeLimit limit;
    const Counts before;
    {
        PidServer server{any_port};
        ServingThread serving{server};
        std::set<pid_t> pids;
        for (int i = 0; i < 10; ++i) {
            PidClient client{server.server_address()};
            pids.insert(client.child());
        }
        CHECK(pids.size() == 10);
        CHECK(pids.count(::getpid()) == 0);
        // The loop reaps them by itself, though nobody comes any more.
        CHECK(eventually([&] { return child_count() == before.children; }));
        serving.stop();
        CHECK(server.active_children().empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("forking: only the server's own children are waited for") {
    const TimeLimit limit;
    const pid_t other = ::fork();
    if (other == 0) ::_exit(72);
    {
        EchoServer server{any_port};
        ServingThread serving{server};
        for (int i = 0; i < 5; ++i) CHECK(ask(server.server_address(), "x\n") == "x\n");
        serving.stop();
        server.server_close();
        CHECK(server.active_children().empty());
    }
    int status = 0;
    REQUIRE(::waitpid(other, &status, 0) == other);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 72);
}

TEST_CASE("forking: max_children bounds the children, and shutdown() waits for none") {
    const TimeLimit limit;
    const std::size_t before = child_count();
    PidServer server{any_port};
    server.max_children = 2;
    ServingThread serving{server};
    PidClient first{server.server_address()};
    PidClient second{server.server_address()};
    PidClient third{server.server_address()};
    first.child();
    second.child();
    SECTION("a third client waits until a child has gone") {
        CHECK(child_count() == before + 2);
        third.socket.settimeout(50ms);
        CHECK_THROWS_AS(third.socket.recv(1), TimeoutError);
        third.socket.settimeout(patience);
        first.end();
        CHECK(third.child() > 0);
    }
    SECTION("shutdown() returns while the children are there") {
        serving.stop();
        CHECK(server.active_children().size() == 2);
    }
    first.end();
    second.end();
    third.end();
}

TEST_CASE("forking: a bare handle_request() loop leaves no zombies and minds max_children") {
    const TimeLimit limit;
    const std::size_t before = child_count();
    PidServer server{any_port, {.timeout = 0ms}};
    server.max_children = 2;
    for (int i = 0; i < 8; ++i) {
        PidClient client{server.server_address()};
        client.end();
        // With the time 0 a call that finds two children there serves nobody.
        while (server.active_children().size() == 2) server.handle_request();
        server.handle_request();
        CHECK(server.active_children().size() <= 2);
        CHECK(child_count() <= before + 2);
        CHECK(client.child() > 0);
    }
    CHECK(eventually([&] {
        server.handle_request();
        return child_count() == before;
    }));
    CHECK(server.active_children().empty());
}

TEST_CASE("forking: handle_request() that waits for a client reaps meanwhile") {
    const TimeLimit limit;
    const std::size_t before = child_count();
    PidServer server{any_port};
    PidClient client{server.server_address()};
    server.handle_request();
    client.child();
    CHECK(child_count() == before + 1);
    std::thread waiting{[&] { server.handle_request(); }};
    client.end();
    const bool reaped = eventually([&] { return child_count() == before; });
    server.shutdown();
    waiting.join();
    CHECK(reaped);
}

TEST_CASE("forking: a fork that fails costs that request and nothing else") {
    const TimeLimit limit;
    class Server : public TCPServer<StreamEcho, ForkingMixIn> {
      public:
        Server() : TCPServer{any_port} {}
        std::vector<std::error_code> errors;  // of the serving thread, read when it has ended
        int shutdowns = 0;

      protected:
        void handle_error(Socket&, const Address&, std::exception_ptr error) override {
            try {
                std::rethrow_exception(error);
            } catch (const std::system_error& failure) {
                errors.push_back(failure.code());
            }
        }
        void shutdown_request(Socket& request) override {
            ++shutdowns;  // of children: in their memory
            TCPServer::shutdown_request(request);
        }
    };
    const Counts before;
    {
        std::vector<int> failures{EAGAIN, ENOMEM};
        const Scripted<&Calls::fork> script{[&] {
            if (failures.empty()) return detail::sys::kernel.fork();
            errno = failures.back();
            failures.pop_back();
            return -1;
        }};
        Server server;
        ServingThread serving{server};
        for (int i = 0; i < 2; ++i) {
            Socket client = connect(server.server_address());
            CHECK(read_to_end(client) == "");
        }
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        serving.stop();
        CHECK_FALSE(serving.error());
        REQUIRE(server.errors.size() == 2);
        CHECK(server.errors[0] == std::errc::not_enough_memory);
        CHECK(server.errors[1] == std::errc::resource_unavailable_try_again);
        CHECK(server.shutdowns == 2);
    }
    CHECK(before.are_back());
}

TEST_CASE("forking: in a program that ignores SIGCHLD") {
    const TimeLimit limit;
    struct sigaction ignore {};
    struct sigaction former {};
    ignore.sa_handler = SIG_IGN;
    REQUIRE(::sigaction(SIGCHLD, &ignore, &former) == 0);
    {
        PidServer server{any_port};
        server.max_children = 2;
        ServingThread serving{server};
        for (int i = 0; i < 6; ++i) {
            PidClient client{server.server_address()};
            CHECK(client.child() > 0);
        }
        serving.stop();
        server.server_close();
        CHECK(server.active_children().empty());
    }
    ::sigaction(SIGCHLD, &former, nullptr);
}

TEST_CASE("forking: on a kernel that has no pidfd") {
    const TimeLimit limit;
    const std::size_t before = child_count();
    const Scripted<&Calls::pidfd_open> none{[](auto...) { return fail(ENOSYS); }};
    PidServer server{any_port};
    server.max_children = 2;
    ServingThread serving{server, 10ms};
    for (int i = 0; i < 6; ++i) {
        PidClient client{server.server_address()};
        CHECK(client.child() > 0);
    }
    CHECK(eventually([&] { return child_count() == before; }));
}

TEST_CASE("forking: another child of the program does not keep the loop awake") {
    const TimeLimit limit;
    std::atomic<int> polls{0};
    const Scripted<&Calls::poll> count{[&](auto... arguments) {
        ++polls;
        return detail::sys::kernel.poll(arguments...);
    }};
    const std::size_t before = child_count();
    PidServer server{any_port};
    ServingThread serving{server};
    {
        PidClient client{server.server_address()};
        client.child();
        // It inherits what the server watches its own child with, and keeps it.
        const OtherChild other;
        client.end();
        CHECK(eventually([&] { return child_count() == before + 1; }));
        const int polls_before = polls;
        // The answer comes after a few turns of a loop that sleeps when nothing is to do.
        PidClient second{server.server_address()};
        second.child();
        std::this_thread::sleep_for(50ms);  // what must not happen cannot be waited for
        CHECK(polls - polls_before < 30);
    }
}

TEST_CASE("forking: the end of a child is seen without pidfds as well") {
    const TimeLimit limit;
    const Scripted<&Calls::pidfd_open> none{[](pid_t, unsigned) { return fail(ENOSYS); }};
    EchoServer server{any_port};
    server.max_children = 1;
    const ServingThread serving{server, 1h};
    for (int i = 0; i < 3; ++i) CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    CHECK(eventually([&] { return server.statistics().children == 0; }));
}

TEST_CASE("forking: block_on_close makes server_close() wait for the children") {
    const TimeLimit limit;
    PidServer server{any_port};
    ServingThread serving{server};
    PidClient client{server.server_address()};
    const pid_t child = client.child();
    serving.stop();
    std::thread closer{[&] { server.server_close(); }};
    client.end();
    closer.join();
    CHECK(server.active_children().empty());
    CHECK(::waitpid(child, nullptr, WNOHANG) == -1);  // waited for already
}
