// SPDX-License-Identifier: MIT
// drain(): nobody who was accepted is lost, idle connections go first, the rest at the deadline.
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;

// Requests that are answered before a drain begins. Under ThreadSanitizer a connection takes a
// millisecond, and a fork, which copies its tables, 20.
constexpr int many = under_tsan ? 500 : 3000;
constexpr int many_forks = under_tsan ? 200 : 1000;

/// What clients saw, who connect one after the other for as long as they can.
struct Load {
    std::atomic<int> answered{0};
    std::atomic<int> refused{0};
    std::atomic<int> lost{0};  ///< connected, sent, and got no answer

    template <class Server>
    void run(Server& server, int clients, int requests_before_drain, DrainReport& report) {
        std::vector<std::thread> threads;
        const Address address = server.server_address();
        for (int i = 0; i < clients; ++i) {
            threads.emplace_back([this, address] { connect_until_refused(address); });
        }
        eventually([&] { return answered >= requests_before_drain; });
        report = server.drain(20s);
        for (std::thread& thread : threads) thread.join();
    }

  private:
    void connect_until_refused(const Address& address) {
        for (;;) {
            Socket client;
            try {
                client = connect(address);
            } catch (const std::system_error&) {
                ++refused;
                return;
            }
            try {
                (ask(client, "hello\n") == "hello\n" ? answered : lost)++;
            } catch (const std::system_error&) {
                ++lost;
            }
        }
    }
};

template <template <class> class MixIn, template <class, template <class> class> class Transport>
void check_load(const Address& address, int requests) {
    const TimeLimit limit;
    DrainReport report;
    Load load;
    Transport<StreamEcho, MixIn> server{address};
    {
        ServingThread serving{server};
        load.run(server, 4, requests, report);
        serving.join();
        CHECK_FALSE(serving.error());
    }
    CHECK(load.lost == 0);
    CHECK(load.refused == 4);
    CHECK(load.answered >= requests);
    CHECK(report.cancelled == 0);
    CHECK(report.refused == 0);
    CHECK(report.remaining == 0);
    CHECK(server.statistics().served() == static_cast<std::uint64_t>(load.answered));
    CHECK(server.statistics().active == 0);
    CHECK(server.fileno() == -1);
}

template <template <class> class MixIn>
void check_idle_and_busy() {
    const TimeLimit limit;
    const Counts before;
    {
        TCPServer<EchoLines, MixIn> server{any_port};
        ServingThread serving{server};
        Socket idle = connect(server.server_address());
        Socket fresh = connect(server.server_address());
        Socket busy = connect(server.server_address());
        Socket hanging = connect(server.server_address());
        CHECK(ask(idle, "1\n") == "1\n");
        // In one segment: the half has been read when the answer comes.
        busy.sendall("2\nhalf ");
        CHECK(busy.recv(64) == "2\n");
        hanging.sendall("3\nhalf ");
        CHECK(hanging.recv(64) == "3\n");
        CHECK(eventually([&] { return server.statistics().active == 4; }));

        DrainReport report;
        std::thread draining{[&] { report = server.drain(2s); }};
        CHECK(idle.recv(64).empty());
        CHECK(fresh.recv(64).empty());
        CHECK(server.is_draining());
        busy.sendall("line\n");
        CHECK(read_to_end(busy) == "half line\n");
        draining.join();
        serving.join();
        // One whose handler had not come back from its answer when the drain began was still
        // served.
        CHECK(report.idle_closed >= 1);
        CHECK(report.idle_closed + report.finished == 3);
        CHECK(report.cancelled == 1);
        CHECK(report.remaining == 0);
    }
    CHECK(before.are_back());
}

}  // namespace

TEST_CASE("under load no accepted request is lost") {
    const std::string path = (std::filesystem::temp_directory_path() / own_name("drain")).string();
    SECTION("synchronous, TCP") { check_load<SynchronousMixIn, TCPServer>(any_port, many); }
    SECTION("threading, TCP") { check_load<ThreadingMixIn, TCPServer>(any_port, many); }
    if (may_fork_beside_allocating_threads) {
        SECTION("forking, TCP") { check_load<ForkingMixIn, TCPServer>(any_port, many_forks); }
        SECTION("forking, Unix") { check_load<ForkingMixIn, UnixStreamServer>(path, many_forks); }
    }
    SECTION("pool, TCP") { check_load<ThreadPoolMixIn, TCPServer>(any_port, many); }
    SECTION("prefork, TCP") { check_load<PreforkMixIn, TCPServer>(any_port, many); }
    SECTION("synchronous, Unix") { check_load<SynchronousMixIn, UnixStreamServer>(path, many); }
    SECTION("threading, Unix") { check_load<ThreadingMixIn, UnixStreamServer>(path, many); }
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("under load no accepted request is lost: fiber") {
    check_load<FiberMixIn, TCPServer>(any_port, many);
}
#endif

TEST_CASE("idle connections go first, busy ones may finish, the rest is broken off") {
    SECTION("threading") { check_idle_and_busy<ThreadingMixIn>(); }
    if (delivers_signals_in_forked_children) {
        SECTION("forking") {
            std::signal(SIGTERM, SIG_DFL);  // in a child Catch would call it a failure
            check_idle_and_busy<ForkingMixIn>();
        }
    }
    SECTION("pool") { check_idle_and_busy<ThreadPoolMixIn>(); }
    SECTION("threads in workers") { check_idle_and_busy<PreforkOf<ThreadingMixIn>::MixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("idle connections go first: fiber") { check_idle_and_busy<FiberMixIn>(); }
#endif

TEST_CASE("workers leave the queue to the process that takes over") {
    const TimeLimit limit;
    const Counts before;
    {
        TCPServer<StreamEcho, PreforkMixIn> server{any_port};
        Socket copy{::dup(server.fileno())};
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "old\n") == "old\n");
        server.drain(20s, AcceptQueue::leave);
        serving.join();
        CHECK_FALSE(serving.error());
        TCPServer<StreamEcho> next{std::move(copy)};
        ServingThread serving_next{next};
        CHECK(ask(next.server_address(), "new\n") == "new\n");
    }
    CHECK(before.are_back());
}

TEST_CASE("a worker whose handler waits beyond the time of a drain is killed") {
    const TimeLimit limit;
    const Counts before;
    class Quiet : public TCPServer<EchoLines, PreforkMixIn> {
      public:
        using TCPServer::TCPServer;
        std::atomic<int> errors{0};

      private:
        void handle_server_error(std::exception_ptr) override { ++errors; }
    };
    {
        Quiet server{any_port};
        server.workers = 1;  // another one might not end in the time of the drain either
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("hello\nhalf ");
        CHECK(client.recv(64) == "hello\n");
        const auto begin = Clock::now();
        server.drain(100ms);
        CHECK(Clock::now() - begin < 10s);
        serving.join();
        CHECK(server.errors == 1);
        CHECK(read_to_end(client).empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("a synchronous server is drained while its handler waits for a client") {
    const TimeLimit limit;
    TCPServer<EchoLines> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const bool busy = GENERATE(false, true);
    // In one segment: the half has been read when the answer comes.
    client.sendall(busy ? "1\nhalf " : "1\n");
    CHECK(client.recv(64) == "1\n");
    Socket queued = connect(server.server_address());
    queued.sendall("queued\n");
    DrainReport report;
    if (!busy) {
        queued.shutdown(ShutdownHow::write);
        report = server.drain(20s);
        // Whether the handler of the first client waited already when the drain began, nothing
        // tells.
        CHECK(report.idle_closed <= 1);
        CHECK(report.idle_closed + report.finished == 2);
        CHECK(report.cancelled == 0);
        CHECK(queued.recv(64) == "queued\n");
    } else {
        report = server.drain(100ms);
        CHECK(report.cancelled == 1);
        CHECK(report.refused == 1);
        CHECK(read_to_end(queued).empty());
    }
    CHECK(read_to_end(client).empty());
    serving.join();
}

TEST_CASE("what waits in the kernel is served, whether or not somebody serves") {
    const TimeLimit limit;
    TCPServer<StreamEcho, ThreadingMixIn> server{any_port};
    std::vector<Socket> clients;
    for (int i = 0; i < 50; ++i) {
        clients.push_back(connect(server.server_address()));
        clients.back().sendall("hello\n");
    }
    const DrainReport report = server.drain(20s);
    CHECK(report.finished == 50);
    int answered = 0;
    for (Socket& client : clients) answered += client.recv(64) == "hello\n" ? 1 : 0;
    CHECK(answered == 50);
    CHECK_THROWS_AS(connect(server.server_address()), std::system_error);
    CHECK(server.drain(1s).finished == 0);
}

TEST_CASE("a handler that does not wait for its client is reported as remaining") {
    const TimeLimit limit;
    static std::atomic<bool> computing{false};
    static std::atomic<bool> go_on{true};
    go_on = true;
    class Computing : public StreamRequestHandler {
        void handle() override {
            computing = true;
            while (go_on) std::this_thread::yield();
        }
    };
    TCPServer<Computing, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    const Socket client = connect(server.server_address());
    CHECK(eventually([&] { return computing.load(); }));
    const DrainReport report = server.drain(10ms);
    CHECK(report.remaining == 1);
    CHECK(report.cancelled == 1);
    go_on = false;
}

TEST_CASE("drain() in a handler is a mistake, and says so") {
    const TimeLimit limit;
    static std::atomic<bool> refused{false};
    class Draining : public StreamRequestHandler {
        void handle() override {
            try {
                server().drain(1s);
            } catch (const std::logic_error&) {
                refused = true;
            }
        }
    };
    TCPServer<Draining, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client).empty());
    CHECK(refused);
}

TEST_CASE("datagrams that have arrived are answered") {
    const TimeLimit limit;
    UDPServer<DatagramEcho, ThreadingMixIn> server{any_port};
    std::vector<Socket> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(connect(server.server_address(), SocketType::datagram));
        clients.back().sendall("hello\n");
    }
    const DrainReport report = server.drain(20s);
    CHECK(report.finished == 20);
    for (Socket& client : clients) CHECK(client.recv(64) == "hello\n");
}
