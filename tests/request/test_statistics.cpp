// SPDX-License-Identifier: MIT
// What a server knows of its requests: statistics() and the hooks that see connections come and go.
#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Does what the client's line says.
class ObeyingHandler : public StreamRequestHandler {
    void handle() override {
        timeout = 100ms;
        for (;;) {
            const std::string line{rfile().readline(64)};
            if (line == "throw\n") throw std::runtime_error("as told");
            if (line == "crash\n") std::_Exit(3);
            if (line == "time out\n") connection().settimeout(1ms);
            if (line == "end\n" || line.empty()) return;
            wfile().write(line);
        }
    }
};

struct Closed {
    Address client;
    CloseReason reason;
    std::chrono::nanoseconds duration;
};

template <template <class> class MixIn>
class ObservedServer : public TCPServer<ObeyingHandler, MixIn> {
    using Base = TCPServer<ObeyingHandler, MixIn>;

  public:
    using Base::Base;
    ~ObservedServer() override { this->server_close(); }

    /// The first that was closed; waits for it.
    Closed closed() {
        std::unique_lock lock{mutex_};
        if (!changed_.wait_for(lock, patience, [&] { return !closed_.empty(); })) {
            throw std::runtime_error("no connection was closed");
        }
        return closed_.front();
    }
    std::vector<Address> opened() {
        const std::lock_guard lock{mutex_};
        return opened_;
    }
    bool refuse_all = false;

  private:
    bool verify_request(const Socket&, const Address&) override { return !refuse_all; }
    void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    void connection_opened(const Address& client) override {
        const std::lock_guard lock{mutex_};
        opened_.push_back(client);
    }
    void connection_closed(const Address& client, CloseReason reason,
                           std::chrono::nanoseconds duration) override {
        const std::lock_guard lock{mutex_};
        closed_.push_back({client, reason, duration});
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Address> opened_;
    std::vector<Closed> closed_;
};

/// Not by closing it: a forked child has a copy of the descriptor.
void reset(const Socket& client) {
    const sockaddr nothing{AF_UNSPEC, {}};
    ::connect(client.fileno(), &nothing, sizeof nothing);
}

struct Case {
    const char* line;
    CloseReason reason;
};

template <template <class> class MixIn>
void check_reasons() {
    const TimeLimit limit;
    const auto [line, reason] =
        GENERATE(Case{"end\n", CloseReason::finished}, Case{"", CloseReason::client_closed},
                 Case{"throw\n", CloseReason::error}, Case{"time out\n", CloseReason::timed_out},
                 Case{"0123456789012345678901234567890123456789012345678901234567890123456789",
                      CloseReason::limit},
                 Case{"reset", CloseReason::reset});
    ObservedServer<MixIn> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const Address address = client.getsockname();
    CHECK(ask(client, "hello\n") == "hello\n");
    CHECK(server.statistics().accepted == 1);
    CHECK(server.statistics().active == 1);
    if (reason == CloseReason::reset) {
        reset(client);
    } else if (reason == CloseReason::client_closed) {
        client.shutdown(ShutdownHow::write);
    } else {
        client.sendall(line);
    }
    // The hooks of a worker process tell its own copy of the server.
    constexpr bool hooks_are_here = !requires { server.worker_pids(); };
    if constexpr (hooks_are_here) {
        const Closed closed = server.closed();
        CHECK(closed.client == address);
        CHECK(closed.reason == reason);
        CHECK(closed.duration > 0ns);
        CHECK(closed.duration < patience);
    } else {
        CHECK(eventually([&] { return server.statistics().active == 0; }));
    }
    const Statistics statistics = server.statistics();
    CHECK(statistics.accepted == 1);
    CHECK(statistics.active == 0);
    CHECK(statistics.closed(reason) == 1);
    CHECK(statistics.closed() == 1);
    const bool well = reason == CloseReason::finished || reason == CloseReason::client_closed;
    CHECK(statistics.served() == (well ? 1 : 0));
    CHECK(statistics.failed() == (well ? 0 : 1));
    CHECK(statistics.bytes_out >= 6);
    if (reason != CloseReason::reset) {
        CHECK(statistics.bytes_in == 6 + std::string_view{line}.size());
    }
    if constexpr (hooks_are_here) CHECK(server.opened() == std::vector{address});
}

}  // namespace

TEST_CASE("each reason of an end is counted and announced") {
    SECTION("synchronous") { check_reasons<SynchronousMixIn>(); }
    SECTION("threading") { check_reasons<ThreadingMixIn>(); }
    SECTION("forking") { check_reasons<ForkingMixIn>(); }
    SECTION("pool") { check_reasons<ThreadPoolMixIn>(); }
    SECTION("prefork") { check_reasons<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("each reason of an end is counted and announced: fiber") { check_reasons<FiberMixIn>(); }
#endif

TEST_CASE("a child that crashes is an error, and its connection is counted out") {
    const TimeLimit limit;
    ObservedServer<ForkingMixIn> server{any_port};
    ServingThread serving{server};
    Socket bystander = connect(server.server_address());
    CHECK(ask(bystander, "hello\n") == "hello\n");
    // The child may answer before the server knows that it has one.
    CHECK(eventually([&] { return server.statistics().children == 1; }));
    Socket client = connect(server.server_address());
    const Address address = client.getsockname();
    client.sendall("crash\n");
    const Closed closed = server.closed();
    CHECK(closed.client == address);
    CHECK(closed.reason == CloseReason::error);
    CHECK(server.statistics().active == 1);
    CHECK(ask(bystander, "still there\n") == "still there\n");
    bystander.sendall("end\n");  // its child has a copy of this end: closing it ends nothing
}

TEST_CASE("what verify_request() turns away is refused, not served") {
    const TimeLimit limit;
    ObservedServer<ThreadingMixIn> server{any_port};
    server.refuse_all = true;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client).empty());
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    const Statistics statistics = server.statistics();
    CHECK(statistics.refused(RefuseCause::verify_request) == 1);
    CHECK(statistics.refused() == 1);
    CHECK(statistics.closed() == 0);
    CHECK(server.opened().empty());
}

TEST_CASE("threads are counted") {
    const TimeLimit limit;
    ObservedServer<ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket first = connect(server.server_address());
    Socket second = connect(server.server_address());
    CHECK(ask(first, "a\n") == "a\n");
    CHECK(ask(second, "b\n") == "b\n");
    CHECK(server.statistics().threads == 2);
    CHECK(server.statistics().active == 2);
}

TEST_CASE("workers are counted as children") {
    const TimeLimit limit;
    ObservedServer<PreforkMixIn> server{any_port};
    server.workers = 2;
    {
        const ServingThread serving{server};
        CHECK(eventually([&] { return server.statistics().children == 2; }));
    }
    server.server_close();
    CHECK(server.statistics().children == 0);
}

TEST_CASE("a request that the policy drops is counted out as well") {
    const TimeLimit limit;
    class Dropping : public TCPServer<StreamEcho> {
      public:
        using TCPServer::TCPServer;

      private:
        void process_request(Socket&& request, const Address&) override {
            const Socket dropped = std::move(request);
        }
    };
    Dropping server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client).empty());
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(server.statistics().accepted == 1);
}

TEST_CASE("datagrams are counted") {
    const TimeLimit limit;
    UDPServer<DatagramEcho, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    for (int i = 0; i < 10; ++i) {
        CHECK(ask(server.server_address(), "hello\n", SocketType::datagram) == "hello\n");
    }
    CHECK(eventually([&] { return server.statistics().served() == 10; }));
    CHECK(server.statistics().accepted == 10);
    CHECK(server.statistics().active == 0);
}

TEST_CASE("the sums hold at any moment, under load") {
    const TimeLimit limit;
    constexpr std::uint64_t requests = 2000;
    TCPServer<StreamEcho, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back([&] {
            for (std::uint64_t n = 0; n < requests / 4; ++n) {
                ask(server.server_address(), "x\n");
            }
        });
    }
    bool sane = true;
    std::uint64_t last = 0;
    while (last < requests) {
        const Statistics statistics = server.statistics();
        sane = sane && statistics.accepted >= last && statistics.active <= requests &&
               statistics.accepted <= requests;
        last = statistics.accepted;
        std::this_thread::yield();
    }
    for (std::thread& client : clients) client.join();
    CHECK(sane);
    CHECK(eventually([&] { return server.statistics().served() == requests; }));
    CHECK(server.statistics().active == 0);
}
