// SPDX-License-Identifier: MIT
// select() in handlers, under every policy: its client, and something else.
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/policies.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

struct Seen {
    std::atomic<int> waiting{0};
    std::atomic<int> ended{0};
    std::atomic<int> cancelled{0};
    std::atomic<int> timed_out{0};
};

/// Tells its client what the client says, and what comes from elsewhere, until one of them ends.
class Selecting : public StreamRequestHandler {
  public:
    Selecting(int elsewhere, bool waits_for_client, Seen& seen)
        : elsewhere_{elsewhere}, waits_for_client_{waits_for_client}, seen_{seen} {}

  private:
    void handle() override {
        try {
            serve();
            ++seen_.ended;
        } catch (const Cancelled&) {
            ++seen_.cancelled;
        } catch (const IdleTimeout&) {
            ++seen_.timed_out;
        }
    }
    void serve() {
        wfile().write("hello\n");
        for (;;) {
            ++seen_.waiting;
            const Selected selected = waits_for_client_ ? select({rfile(), readable(elsewhere_)})
                                                        : select({readable(elsewhere_)});
            if (waits_for_client_ && selected[0]) {
                const std::string_view line = rfile().readline();
                if (line.empty()) return;
                wfile().write(line);
            } else {
                std::uint64_t count = 0;
                if (::read(elsewhere_, &count, sizeof count) != sizeof count) continue;
                wfile().print("{} from elsewhere\n", count);
            }
        }
    }
    int elsewhere_;
    bool waits_for_client_;
    Seen& seen_;
};

template <template <class> class MixIn>
struct SelectingServer {
    explicit SelectingServer(bool waits_for_client = true, ServerOptions options = {})
        : server{any_port, options, [this, waits_for_client] {
                     return Selecting{elsewhere.fileno(), waits_for_client, *seen};
                 }} {}
    void put() const {
        const std::uint64_t count = 3;
        CHECK(::write(elsewhere.fileno(), &count, sizeof count) == sizeof count);
    }

    Socket elsewhere{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Shared<Seen> seen;
    TCPServer<Selecting, MixIn> server;
};

}  // namespace

TEST_CASE("a handler waits for its client and for a descriptor, under every policy") {
    under_every_policy([]<template <class> class MixIn>() {
        SelectingServer<MixIn> selecting;
        ServingThread serving{selecting.server};
        Socket client = connect(selecting.server.server_address());
        CHECK(client.recv(100) == "hello\n");
        for (int i = 0; i < 3; ++i) {
            CHECK(ask(client, "line\n") == "line\n");
            selecting.put();
            CHECK(client.recv(100) == "3 from elsewhere\n");
        }
        client.close();
        CHECK(eventually([&] { return selecting.seen->ended == 1; }));
    });
}

TEST_CASE("a drain ends the input of a handler that waits for its client and for more") {
    under_every_policy([]<template <class> class MixIn>() {
        if (!drains_here<MixIn>) return;
        SelectingServer<MixIn> selecting;
        ServingThread serving{selecting.server};
        Socket client = connect(selecting.server.server_address());
        CHECK(client.recv(100) == "hello\n");
        CHECK(ask(client, "line\n") == "line\n");
        CHECK(eventually([&] { return selecting.seen->waiting == 2; }));
        const Stopwatch watch;
        selecting.server.drain(patience);
        CHECK(watch.elapsed() < patience / 2);
        CHECK(selecting.seen->ended == 1);
    });
}

TEST_CASE("a drain breaks off a handler that waits for a descriptor alone") {
    under_every_policy([]<template <class> class MixIn>() {
        if (!drains_here<MixIn>) return;
        SelectingServer<MixIn> selecting{false};
        ServingThread serving{selecting.server};
        Socket client = connect(selecting.server.server_address());
        CHECK(client.recv(100) == "hello\n");
        CHECK(eventually([&] { return selecting.seen->waiting == 1; }));
        selecting.server.drain(0s);
        serving.stop();
        selecting.server.server_close();
        CHECK(selecting.server.statistics().active == 0);
        CHECK(selecting.seen->ended == 0);
        if (serves_in_children<MixIn>) return;  // it was killed
        CHECK(selecting.seen->cancelled == 1);
    });
}

TEST_CASE("the idle timeout of a server ends a handler that waits for its client and for more") {
    under_every_policy([]<template <class> class MixIn>() {
        SelectingServer<MixIn> selecting{true, {.idle_timeout = 50ms}};
        ServingThread serving{selecting.server};
        Socket client = connect(selecting.server.server_address());
        CHECK(read_to_end(client) == "hello\n");
        CHECK(eventually([&] { return selecting.seen->timed_out == 1; }));
    });
}
