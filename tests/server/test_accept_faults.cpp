// SPDX-License-Identifier: MIT
// What accept(2) may fail with, and what that costs: never a spin, never a lost server.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Records the accept errors, which only the serving thread sees.
class Server : public TCPServer<StreamEcho, ThreadingMixIn> {
  public:
    Server() : TCPServer{{"127.0.0.1", 0}} {}
    ~Server() override { server_close(); }
    std::vector<int> errors;

  protected:
    void handle_accept_error(const std::system_error& error) override {
        errors.push_back(error.code().value());
    }
};

/// Lets the first calls of accept4 fail, and counts all that fail.
class FailingAccept {
  public:
    FailingAccept(int error, int times)
        : times_{times}, script_{[this, error](auto... arguments) {
              if (times_.fetch_sub(1) <= 0) return detail::sys::kernel.accept4(arguments...);
              ++failed;
              return fail(error);
          }} {}
    std::atomic<int> failed{0};
    void heal() { times_ = 0; }

  private:
    std::atomic<int> times_;
    Scripted<&Calls::accept4> script_;
};

}  // namespace

TEST_CASE("a connection that failed before it was accepted costs nobody else") {
    const TimeLimit limit;
    const int error = GENERATE(ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ETIMEDOUT);
    CAPTURE(error);
    FailingAccept accept{error, 3};
    Server server;
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
    serving.stop();
    CHECK_FALSE(serving.error());
    CHECK(server.errors == std::vector<int>(3, error));
}

TEST_CASE("a lack of descriptors or memory is waited out") {
    const TimeLimit limit;
    const int error = GENERATE(EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM);
    CAPTURE(error);
    FailingAccept accept{error, 1'000'000'000};
    Server server;
    ServingThread serving{server};
    const auto begin = std::chrono::steady_clock::now();
    Socket client = connect(server.server_address());
    client.sendall("x\n");
    CHECK(eventually([&] { return accept.failed >= 6; }));
    // Pauses of 1, 2, 4, 8 and 16 ms lie between six attempts; a spin makes thousands in no time.
    CHECK(std::chrono::steady_clock::now() - begin >= 31ms);
    accept.heal();
    CHECK(ask(client, "") == "");
    CHECK(client.recv(10) == "x\n");
    // The next lack begins with a short pause again.
    CHECK(ask(server.server_address(), "y\n") == "y\n");
    serving.stop();
    CHECK_FALSE(serving.error());
    CHECK(server.errors == std::vector<int>(static_cast<std::size_t>(accept.failed), error));
}

TEST_CASE("shutdown() does not wait for the end of a pause") {
    const TimeLimit limit;
    FailingAccept accept{EMFILE, 1'000'000'000};
    Server server;
    ServingThread serving{server};
    const Socket client = connect(server.server_address());
    CHECK(eventually([&] { return accept.failed >= 9; }));  // a pause of 100 ms
    serving.stop();
    CHECK_FALSE(serving.error());
}

TEST_CASE("handle_request() waits a pause out as well") {
    const TimeLimit limit;
    FailingAccept accept{EMFILE, 3};
    Server server;
    Socket client = connect(server.server_address());
    client.sendall("x\n");
    server.handle_request();
    CHECK(client.recv(10) == "x\n");
    CHECK(accept.failed == 3);
}

TEST_CASE("EINTR is not seen at all") {
    const TimeLimit limit;
    FailingAccept accept{EINTR, 100};
    Server server;
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
    serving.stop();
    CHECK(server.errors.empty());
    CHECK(accept.failed == 100);
}

TEST_CASE("a listening socket that is no more ends serving with its error") {
    const TimeLimit limit;
    const int error = GENERATE(EBADF, EINVAL, ENOTSOCK);
    CAPTURE(error);
    FailingAccept accept{error, 1};
    Server server;
    ServingThread serving{server};
    const Socket client = connect(server.server_address());
    serving.join();
    REQUIRE(serving.error());
    try {
        std::rethrow_exception(serving.error());
    } catch (const std::system_error& thrown) {
        CHECK(thrown.code() == std::error_code(error, std::system_category()));
    }
}

TEST_CASE("out of descriptors for real: no spin, others are served, recovery") {
    if (!checks_without_descriptors) return;
    const TimeLimit limit;
    std::atomic<int> accepts{0};
    const Scripted<&Calls::accept4> count{[&](auto... arguments) {
        ++accepts;
        return detail::sys::kernel.accept4(arguments...);
    }};
    TCPServer<EchoLines, ThreadingMixIn> server{{"127.0.0.1", 0}};
    ServingThread serving{server};
    Socket established = connect(server.server_address());
    CHECK(ask(established, "1\n") == "1\n");
    Socket waiting{server.server_address(), SocketType::stream};
    waiting.settimeout(patience);
    rlimit former{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &former) == 0);
    rlimit few = former;
    few.rlim_cur = 256;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    std::vector<int> taken;
    for (int fd = ::dup(0); fd != -1; fd = ::dup(0)) taken.push_back(fd);
    waiting.connect(server.server_address());
    const int before = accepts;
    for (int i = 0; i < 1000; ++i) {
        const std::string line = std::to_string(i) + "\n";
        if (ask(established, line) != line) FAIL("an established client was not served");
    }
    const bool paused = eventually([&] { return accepts - before >= 5; });
    const int attempts = accepts - before;
    for (const int fd : taken) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &former);
    CHECK(paused);
    CHECK(attempts < 1000);
    CHECK(ask(waiting, "recovered\n") == "recovered\n");
    established.close();
    waiting.close();
}

TEST_CASE("a storm of signals interrupts nothing") {
    const TimeLimit limit;
    struct sigaction action {};
    struct sigaction former {};
    action.sa_handler = [](int) {};  // without SA_RESTART: system calls fail with EINTR
    REQUIRE(::sigaction(SIGUSR1, &action, &former) == 0);
    {
        Server server;
        std::atomic<bool> ended{false};
        std::exception_ptr error;
        std::thread serving{[&] {
            try {
                server.serve_forever();
            } catch (...) {
                error = std::current_exception();
            }
        }};
        std::thread storm{[&] {
            while (!ended) {
                ::pthread_kill(serving.native_handle(), SIGUSR1);
                std::this_thread::yield();
            }
        }};
        int right = 0;
        for (int i = 0; i < 200; ++i) {
            if (ask(server.server_address(), "x\n") == "x\n") ++right;
        }
        ended = true;
        storm.join();
        server.shutdown();
        serving.join();
        CHECK(right == 200);
        CHECK_FALSE(error);
        CHECK(server.errors.empty());
    }
    ::sigaction(SIGUSR1, &former, nullptr);
}
