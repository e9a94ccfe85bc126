// SPDX-License-Identifier: MIT
#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

const Address any_port{"127.0.0.1", 0};
using Echo = TCPServer<StreamEcho>;

/// How a child process ended: its exit status, or minus the signal.
int run_in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(50);
        // Not as the test framework has them.
        for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
        ::_exit(body());
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return -1000;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void (*disposition(int signal))(int) {
    struct sigaction action {};
    ::sigaction(signal, nullptr, &action);
    return action.sa_handler;
}

}  // namespace

TEST_CASE("a signal ends serve_forever(), and the program in the ordinary way") {
    const TimeLimit limit;
    const int signal = GENERATE(SIGINT, SIGTERM);
    CHECK(run_in_child([&] {
              Echo server{any_port};
              const ShutdownOnSignal signals{server};
              std::thread sender{[&] {
                  ask(server.server_address(), "it serves\n");
                  ::kill(::getpid(), signal);
              }};
              server.serve_forever(1h);
              sender.join();
              return 7;
          }) == 7);
}

TEST_CASE("without it the signal ends the program") {
    CHECK(run_in_child([] {
              { const Echo server{any_port}; }
              ::raise(SIGTERM);
              return 7;
          }) == -SIGTERM);
}

TEST_CASE("a signal that comes before serving ends the next serve, and only that one") {
    const TimeLimit limit;
    Echo server{any_port};
    const ShutdownOnSignal signals{server};
    ::raise(SIGINT);
    SECTION("serve_forever()") { server.serve_forever(1h); }
    SECTION("handle_request()") {
        Socket client = connect(server.server_address());
        server.handle_request();
    }
    ServingThread again{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
}

TEST_CASE("what a signal did before comes back") {
    const auto interrupt = disposition(SIGINT);
    const auto hangup = disposition(SIGHUP);
    Echo server{any_port};
    {
        const ShutdownOnSignal signals{server};
        CHECK(disposition(SIGINT) != interrupt);
        CHECK(disposition(SIGHUP) == hangup);
        {
            const ShutdownOnSignal more{server, {SIGINT, SIGHUP}};
            CHECK(disposition(SIGHUP) != hangup);
        }
        CHECK(disposition(SIGHUP) == hangup);
        CHECK(disposition(SIGINT) != interrupt);  // the first one still wants it
    }
    CHECK(disposition(SIGINT) == interrupt);
}

TEST_CASE("of two objects for one server the one that is left still works") {
    const TimeLimit limit;
    CHECK(run_in_child([] {
              Echo server{any_port};
              const ShutdownOnSignal stays{server};
              { const ShutdownOnSignal goes{server}; }
              ::raise(SIGTERM);
              server.serve_forever(1h);
              return 7;
          }) == 7);
}

TEST_CASE("one signal stops several servers") {
    const TimeLimit limit;
    Echo first{any_port};
    TCPServer<StreamEcho, ThreadingMixIn> second{any_port};
    const ShutdownOnSignal of_first{first};
    const ShutdownOnSignal of_second{second, {SIGTERM}};
    ServingThread one{first};
    ServingThread two{second};
    CHECK(ask(first.server_address(), "x\n") == "x\n");
    CHECK(ask(second.server_address(), "x\n") == "x\n");
    ::raise(SIGTERM);
    one.join();
    two.join();
    CHECK_FALSE(one.error());
    CHECK_FALSE(two.error());
}

TEST_CASE("a signal reaches a server that is busy all the time") {
    const TimeLimit limit;
    Echo server{any_port};
    const ShutdownOnSignal signals{server};
    std::vector<Socket> clients;
    for (int i = 0; i < 200; ++i) {
        clients.push_back(connect(server.server_address()));
        clients.back().sendall("x\n");
    }
    ::raise(SIGTERM);
    server.serve_forever(1h);  // returns with most of them unserved, and not for want of clients
    CHECK(true);
}

TEST_CASE("a signal that cannot be caught is an error, and leaves nothing behind") {
    const auto interrupt = disposition(SIGINT);
    Echo server{any_port};
    CHECK_THROWS_AS(ShutdownOnSignal(server, {SIGINT, SIGKILL}), std::system_error);
    CHECK(disposition(SIGINT) == interrupt);
}

TEST_CASE("SIGTERM ends a forked child and not its parent") {
    const TimeLimit limit;
    class Pid : public StreamRequestHandler {
        void handle() override {
            ::alarm(50);
            wfile().print("{}\n", ::getpid());
            rfile().read();
        }
    };
    CHECK(run_in_child([] {
              TCPServer<Pid, ForkingMixIn> server{any_port};
              const ShutdownOnSignal signals{server};
              ServingThread serving{server};
              for (int i = 0; i < 2; ++i) {
                  Socket client = connect(server.server_address());
                  const pid_t child = std::stoi(client.recv(20));
                  if (::kill(child, SIGTERM) != 0 || !read_to_end(client).empty()) return 1;
              }
              const bool serves = !serving.ended();
              ::raise(SIGTERM);
              serving.join();
              return serves ? 7 : 2;
          }) == 7);
}

TEST_CASE("SIGPIPE does not end a program whose client went away") {
    const TimeLimit limit;
    CHECK(run_in_child([] {
              class Handler : public StreamRequestHandler {
                  void handle() override {
                      rfile().readline();
                      for (int i = 0; i < 1000; ++i) wfile().write("into the void");
                  }
              };
              Echo again{any_port};
              TCPServer<Handler> server{any_port};
              connect(server.server_address()).sendall("x\n");
              server.handle_request();
              return 7;
          }) == 7);
}
