// SPDX-License-Identifier: MIT
// What the signals of ShutdownOnSignal do in processes that were forked.
#include <atomic>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/forked_program.hpp"
#include "support/forking_serving.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Echo = TCPServer<StreamEcho>;

/// Echoes lines until the client ends.
class Lines : public StreamRequestHandler {
    void handle() override {
        ::alarm(50);
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

}  // namespace

TEST_CASE("a signal to the whole process group: children finish what they serve") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    const bool prefork = GENERATE(false, true);
    const int signal = GENERATE(SIGTERM, SIGINT);
    CAPTURE(prefork, signal);
    const ProcessEvent ready;
    const auto program = [&](auto& server) {
        ::setpgid(0, 0);
        const ShutdownOnSignal signals{server, DrainFor{40s}};
        std::atomic<int> answered{0};
        std::thread client_thread{[&] {
            std::vector<Socket> clients;
            for (int i = 0; i < 2; ++i) {
                clients.push_back(connect(server.server_address()));
                // One segment: when the first line comes back, the half line has been read.
                clients.back().sendall("1\nhalf ");
                clients.back().recv(100);
            }
            ready.set();
            while (!server.is_draining()) std::this_thread::yield();
            for (Socket& client : clients) {
                client.sendall("line\n");
                client.shutdown(ShutdownHow::write);
                answered += read_to_end(client) == "half line\n" ? 1 : 0;
            }
        }};
        server.serve_forever(1h);
        client_thread.join();
        return answered == 2 ? 7 : 1;
    };
    ForkedProgram forked{[&] {
        if (prefork) {
            TCPServer<Lines, PreforkMixIn> server{any_port};
            server.workers = 2;
            return program(server);
        }
        TCPServer<Lines, ForkingMixIn> server{any_port};
        return program(server);
    }};
    ready.wait();
    // As a service manager does, or a terminal.
    CHECK(::kill(-forked.pid(), signal) == 0);
    CHECK(forked.wait() == 7);
}

TEST_CASE("SIGTERM ends a forked child that has served a server of its own, and not its parent") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            ::alarm(50);
            Echo own{any_port};
            own.shutdown();
            own.handle_request();
            wfile().print("{}\n", ::getpid());
            rfile().read();
        }
    };
    CHECK(run_in_child([] {
              TCPServer<Handler, ForkingMixIn> server{any_port};
              const ShutdownOnSignal signals{server};
              for (int i = 0; i < 2; ++i) {
                  if (!sigterm_ends_a_child(server)) return 1;
              }
              // Not stopped yet.
              Socket client = connect(server.server_address());
              server.handle_request();
              const pid_t child = std::stoi(client.recv(20));
              return ::kill(child, SIGKILL) == 0 ? 7 : 2;
          }) == 7);
}

TEST_CASE("in a child that the program forks the signals do what they did before") {
    if (!delivers_signals_in_forked_children) return;  // ShutdownOnSignal has a thread here
    const TimeLimit limit;
    const bool has_own = GENERATE(false, true);
    CAPTURE(has_own);
    CHECK(run_in_child([&] {
              Echo server{any_port};
              const ShutdownOnSignal signals{server};
              const int ended = run_in_child(
                  [&] {
                      std::optional<Echo> own;
                      std::optional<ShutdownOnSignal> own_signals;
                      if (has_own) {
                          own.emplace(any_port);
                          own_signals.emplace(*own, std::initializer_list<int>{SIGTERM});
                          ::raise(SIGTERM);
                          own->serve_forever(1h);
                          own_signals.reset();
                      }
                      ::raise(SIGTERM);
                      return 8;
                  },
                  Signals::inherited);
              return ended == -SIGTERM ? 7 : 1;
          }) == 7);
}

TEST_CASE("an object that drains, made before a fork, stops the copy that serves") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    CHECK(run_in_child([] {
              Echo server{any_port};
              std::optional<ShutdownOnSignal> signals;
              signals.emplace(server, DrainFor{40s});
              ForkedProgram copy{[&] {
                                     std::thread client{[&] {
                                         ask(server.server_address(), "it serves\n");
                                         ::kill(::getpid(), SIGTERM);
                                     }};
                                     server.serve_forever(1h);
                                     client.join();
                                     signals.reset();  // its thread is the parent's
                                     return 8;
                                 },
                                 Signals::inherited};
              if (copy.wait() != 8 || server.is_draining()) return 1;
              ::raise(SIGTERM);
              server.serve_forever(1h);
              return server.is_draining() ? 7 : 2;
          }) == 7);
}

TEST_CASE("an object goes in a child that was forked while its handler ran") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    CHECK(run_in_child([] {
              Echo server{any_port};
              std::optional<ShutdownOnSignal> signals;
              signals.emplace(server, std::initializer_list<int>{SIGUSR1});
              std::atomic<bool> enough{false};
              std::thread handling{[&] {
                  while (!enough) ::raise(SIGUSR1);
              }};
              int well = 0;
              for (int i = 0; i < 300; ++i) {
                  const int ended = run_in_child([&] {
                      ::alarm(5);
                      signals.reset();
                      return 8;
                  });
                  if (ended == 8) ++well;
              }
              enough = true;
              handling.join();
              return well == 300 ? 7 : 1;
          }) == 7);
}
