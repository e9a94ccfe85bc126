// SPDX-License-Identifier: MIT
#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/forked_program.hpp"
#include "support/forking_serving.hpp"
#include "support/no_threads.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Echo = TCPServer<StreamEcho>;

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

namespace {

/// Answers, and then waits for a request that never ends.
class Unfinished : public StreamRequestHandler {
    void handle() override {
        wfile().write(rfile().readline());
        rfile().readline();
        rfile().read(std::size_t{1} << 20);
    }
};

}  // namespace

TEST_CASE("with DrainFor the first signal drains the server") {
    const TimeLimit limit;
    const bool forking = GENERATE(false, true) && delivers_signals_in_forked_children;
    CAPTURE(forking);
    const auto program = [](auto& server) {
        const ShutdownOnSignal signals{server, DrainFor{40s}};
        std::string last;
        std::thread client_thread{[&] {
            Socket busy = connect(server.server_address());
            // One segment: when the first line comes back, the half line has been read.
            busy.sendall("1\nhalf ");
            busy.recv(100);
            Socket idle = connect(server.server_address());
            ask(idle, "2\n");
            ::kill(::getpid(), SIGTERM);
            read_to_end(idle);  // its end: the drain has begun
            busy.sendall("line\n");
            last = read_to_end(busy);
        }};
        server.serve_forever(1h);
        client_thread.join();
        return last == "half line\n" && server.statistics().active == 0 ? 7 : 1;
    };
    CHECK(run_in_child([&] {
              if (forking) {
                  TCPServer<EchoLines, ForkingMixIn> server{any_port};
                  return program(server);
              }
              TCPServer<EchoLines, ThreadingMixIn> server{any_port};
              return program(server);
          }) == 7);
}

TEST_CASE("a second signal does not wait for the drain") {
    const TimeLimit limit;
    const bool forking = GENERATE(false, true) && delivers_signals_in_forked_children;
    CAPTURE(forking);
    const auto program = [](auto& server) {
        Socket busy;
        std::thread client_thread;
        {
            const ShutdownOnSignal signals{server, DrainFor{1h}};
            client_thread = std::thread{[&] {
                busy = connect(server.server_address());
                ask(busy, "begun\n");
                busy.sendall("x\nunfinished");
                ::kill(::getpid(), SIGTERM);
                while (!server.is_draining()) std::this_thread::yield();
                ::kill(::getpid(), SIGTERM);
            }};
            server.serve_forever(1h);
            client_thread.join();
        }
        server.server_close();
        return read_to_end(busy).empty() ? 7 : 1;
    };
    CHECK(run_in_child([&] {
              if (forking) {
                  TCPServer<Unfinished, ForkingMixIn> server{any_port};
                  return program(server);
              }
              TCPServer<Unfinished, ThreadingMixIn> server{any_port};
              return program(server);
          }) == 7);
}

TEST_CASE("a drain by a signal before serving ends the next serve") {
    const TimeLimit limit;
    CHECK(run_in_child([] {
              Echo server{any_port};
              Socket client = connect(server.server_address());
              client.sendall("queued\n");
              const ShutdownOnSignal signals{server, DrainFor{40s}};
              ::raise(SIGTERM);
              const bool served = read_to_end(client) == "queued\n";
              server.serve_forever(1h);
              return served ? 7 : 1;
          }) == 7);
}

TEST_CASE("a drain by a signal when no thread can be had") {
    const TimeLimit limit;
    CHECK(run_in_child([&] {
              ErrorCountingServer server;
              const ShutdownOnSignal signals{server, DrainFor{40s}};
              const NoThreads none;
              ::raise(SIGTERM);
              // The drain needs a thread unless it finds this one serving.
              server.serve_forever(1h);
              return server.errors == 1 || server.is_draining() ? 7 : 1;
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

TEST_CASE("a signal that was ignored stays so") {
    const TimeLimit limit;
    CHECK(run_in_child([] {
              std::signal(SIGINT, SIG_IGN);  // as in the background job of a script
              Echo server{any_port};
              {
                  const ShutdownOnSignal signals{server};
                  if (disposition(SIGINT) != SIG_IGN || disposition(SIGTERM) == SIG_DFL) return 1;
                  ::raise(SIGINT);
                  std::thread client{[&] {
                      ask(server.server_address(), "it serves\n");
                      ::raise(SIGTERM);
                  }};
                  server.serve_forever(1h);
                  client.join();
              }
              return disposition(SIGINT) == SIG_IGN && disposition(SIGTERM) == SIG_DFL ? 7 : 2;
          }) == 7);
}

TEST_CASE("what the program installed meanwhile stays") {
    CHECK(run_in_child([] {
              Echo server{any_port};
              const auto own = +[](int) {};
              {
                  const ShutdownOnSignal signals{server};
                  std::signal(SIGTERM, own);
              }
              return disposition(SIGTERM) == own && disposition(SIGINT) == SIG_DFL ? 7 : 1;
          }) == 7);
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
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    CHECK(run_in_child([] {
              PidServer server{any_port};
              const ShutdownOnSignal signals{server};
              for (int i = 0; i < 2; ++i) {
                  if (!sigterm_ends_a_child(server)) return 1;
              }
              ::raise(SIGTERM);
              server.serve_forever(1h);
              return 7;
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
