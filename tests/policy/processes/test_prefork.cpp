// SPDX-License-Identifier: MIT
// PreforkMixIn as its callers see it: transports, inner policies, stopping.
#include <atomic>
#include <chrono>
#include <csignal>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/prefork_serving.hpp"
#include "support/sanitizers.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("prefork over every transport, and nothing is left behind") {
    const TimeLimit limit;
    const Counts before;
    const auto serve = [](auto& server, SocketType type) {
        server.workers = 2;
        ServingThread serving{server};
        for (int i = 0; i < 10; ++i) {
            CHECK(ask(server.server_address(), "hello\n", type) == "hello\n");
        }
        CHECK(server.worker_pids().size() == 2);
        serving.stop();
        CHECK_FALSE(serving.error());
        server.server_close();
    };
    SECTION("TCP") {
        PreforkTCPServer<StreamEcho> server{any_port};
        CHECK(server.workers >= 1);
        serve(server, SocketType::stream);
    }
    SECTION("UDP") {
        PreforkUDPServer<DatagramEcho> server{any_port};
        serve(server, SocketType::datagram);
    }
    SECTION("Unix stream") {
        const std::string path = "/tmp/" + own_name("stream");
        PreforkUnixStreamServer<StreamEcho> server{path};
        serve(server, SocketType::stream);
        CHECK(::access(path.c_str(), F_OK) == -1);
    }
    SECTION("Unix datagram") {
        PreforkUnixDatagramServer<DatagramEcho> server{"@" + own_name("datagram")};
        serve(server, SocketType::datagram);
    }
    CHECK(before.are_back());
}

TEST_CASE("the inner policy of the workers is selectable") {
    const TimeLimit limit;
    const Counts before;
    const auto serve = [](auto& server, const Board& board) {
        server.workers = 1;
        const ServingThread serving{server};
        // One worker, and yet many at once: it is not the synchronous policy that serves.
        std::deque<Socket> clients;
        for (int i = 0; i < 4; ++i) clients.push_back(connect(server.server_address()));
        for (Socket& client : clients) CHECK(ask(client, "hello\n") == "hello\n");
        CHECK(child_count() >= 1);
        clients.clear();
        CHECK(eventually([&] { return board.ended == 4; }));
    };
    const Shared<Board> board;
    SECTION("threads") {
        PreforkServer<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
        serve(server, *board);
    }
    SECTION("a pool") {
        PreforkServer<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
        serve(server, *board);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") {
        PreforkServer<PreforkOf<FiberMixIn>::MixIn> server{*board};
        server.FiberMixIn::workers = 1;  // threads in each process
        serve(server, *board);
    }
#endif
    CHECK(before.are_back());
}

TEST_CASE("workers that fork for each request") {
    const TimeLimit limit;
    const Counts before;
    {
        TCPServer<StreamEcho, PreforkOf<ForkingMixIn>::MixIn> server{any_port};
        server.workers = 2;
        const ServingThread serving{server};
        for (int i = 0; i < 10; ++i) {
            CHECK(ask(server.server_address(), "hello\n") == "hello\n");
        }
    }
    CHECK(before.are_back());
}

TEST_CASE("a pool in the workers that is full stops accepting, each worker for itself") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
    server.max_threads = 1;
    server.max_queue = 0;
    const ServingThread serving{server};
    std::deque<Socket> clients;
    for (int i = 0; i < 8; ++i) {
        clients.push_back(connect(server.server_address()));
        clients.back().sendall("wait\n");
    }
    CHECK(eventually([&] { return board->waiting == 2; }));
    CHECK(board->accepted == 2);
    board->open = true;
    for (Socket& client : clients) {
        client.shutdown(ShutdownHow::write);
        CHECK(read_to_end(client) == "waited\n");
    }
}

TEST_CASE("no request waits in the queue of a busy worker while another one is idle") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
    server.max_threads = 1;
    const ServingThread serving{server};
    Socket busy = connect(server.server_address());
    busy.sendall("wait\n");
    REQUIRE(eventually([&] { return board->waiting == 1; }));
    // Either worker would take half of them.
    for (int i = 0; i < 30; ++i) REQUIRE(ask(server.server_address(), "hello\n") == "hello\n");
    board->open = true;
    busy.shutdown(ShutdownHow::write);
    CHECK(read_to_end(busy) == "waited\n");
}

TEST_CASE("a pool in the workers that is full refuses, if so told") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
    server.workers = 1;
    server.max_threads = 1;
    server.max_queue = 0;
    server.when_full = WhenFull::close;
    const ServingThread serving{server};
    Socket first = connect(server.server_address());
    CHECK(ask(first, "hello\n") == "hello\n");
    CHECK(connect(server.server_address()).recv(10).empty());
    CHECK(server.statistics().refused(RefuseCause::policy_full) == 1);
}

TEST_CASE("each worker accepts, the parent does not") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    server.workers = 3;
    const ServingThread serving{server};
    std::deque<Socket> clients;
    std::set<int> pids;
    for (int i = 0; i < 3; ++i)
        pids.insert(pid_of(clients.emplace_back(connect(server.server_address()))));
    const std::vector<int> workers = server.worker_pids();
    CHECK(pids == std::set<int>(workers.begin(), workers.end()));
    CHECK(pids.size() == 3);
    CHECK(pids.count(::getpid()) == 0);
    CHECK(child_count() == 3);
}

TEST_CASE("a drain reaches a worker whose only thread waits for a client") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    server.workers = 3;
    ServingThread serving{server};
    Socket idle = connect(server.server_address());
    CHECK(ask(idle, "1\n") == "1\n");
    Socket busy = connect(server.server_address());
    busy.sendall("2\nhalf ");  // the half has been read when the answer comes
    CHECK(busy.recv(10) == "2\n");
    Socket fresh = connect(server.server_address());
    DrainReport report;
    std::thread draining{[&] { report = server.drain(40s); }};
    CHECK(read_to_end(idle).empty());
    CHECK(read_to_end(fresh).empty());
    busy.sendall("line\n");
    CHECK(read_to_end(busy) == "half line\n");
    draining.join();
    serving.join();
    CHECK_FALSE(serving.error());
    // One whose handler had not come back from its answer when the drain began was still served.
    CHECK(report.idle_closed >= 1);
    CHECK(report.idle_closed + report.finished == 3);
    CHECK(report.cancelled == 0);
    CHECK(server.statistics().active == 0);
}

TEST_CASE("shutdown() does not wait for workers, server_close() does, and they finish") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("wait\n");
        REQUIRE(eventually([&] { return board->waiting == 1; }));
        serving.stop();
        CHECK(server.worker_pids().empty());
        ClosingThread closing{server};
        CHECK(closing.begun());
        CHECK_FALSE(closing.closed());
        board->open = true;
        client.shutdown(ShutdownHow::write);
        CHECK(read_to_end(client) == "waited\n");
        closing.join();
        CHECK(child_count() == before.children);
        CHECK(server.errors().empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("serving begins again after shutdown(), with new workers") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        for (int i = 0; i < 20; ++i) {
            ServingThread serving{server};
            CHECK(ask(server.server_address(), "hello\n") == "hello\n");
            serving.stop();
        }
        CHECK(server.errors().empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("shutdown() in a worker ends the whole server") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "shutdown\n") == "shutdown\n");
    serving.join();
    CHECK_FALSE(serving.error());
    client.close();
    server.server_close();
    CHECK(server.errors().empty());
}

TEST_CASE("the signals of ShutdownOnSignal are for the parent") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    const ShutdownOnSignal signals{server};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const int pid = pid_of(client);
    REQUIRE(has_workers(server, 2));
    for (const int worker : server.worker_pids()) {
        REQUIRE(::kill(worker, SIGINT) == 0);
        REQUIRE(::kill(worker, SIGTERM) == 0);
    }
    CHECK(pid_of(client) == pid);
    CHECK_FALSE(serving.ended());
    REQUIRE(::kill(::getpid(), SIGTERM) == 0);
    serving.join();
    CHECK(pid_of(client) == pid);  // what is being served is finished
    client.close();
    server.server_close();
    CHECK(server.errors().empty());
}

TEST_CASE("handle_request() serves in the parent") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    Socket client = connect(server.server_address());
    client.sendall("pid\n");
    client.shutdown(ShutdownHow::write);
    server.handle_request();
    CHECK(read_to_end(client) == std::to_string(::getpid()) + "\n");
    CHECK(server.worker_pids().empty());
}

TEST_CASE("the end of a client of the same program is seen, whenever it connected") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    Socket before = connect(server.server_address());
    Socket unconnected{server.server_address(), SocketType::stream};
    const ServingThread serving{server, 10ms};
    CHECK(ask(before, "hello\n") == "hello\n");
    unconnected.connect(server.server_address());
    unconnected.settimeout(patience);
    CHECK(ask(unconnected, "hello\n") == "hello\n");
    before.close();
    unconnected.close();
    CHECK(eventually([&] { return board->ended == 2; }));
}

TEST_CASE("without block_on_close the workers are left to themselves") {
    const TimeLimit limit;
    const Shared<Board> board;
    int pid = 0;
    {
        Socket client;
        {
            PreforkTCPServer<Obedient> server{any_port, {}, [&] { return Obedient{*board}; }};
            server.workers = 1;
            server.block_on_close = false;
            const ServingThread serving{server};
            client = connect(server.server_address());
            pid = pid_of(client);
        }
        CHECK(pid_of(client) == pid);
    }
    int status = -1;
    CHECK(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}

TEST_CASE("no request that was accepted is lost when the workers are stopped under load") {
    const TimeLimit limit;
    const Counts before;
    const unsigned max_requests = GENERATE(0U, 50U);
    // Its successors are forked while the clients allocate.
    if (max_requests > 0 && !may_fork_beside_allocating_threads) return;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        server.max_requests = max_requests;
        std::atomic<int> answered{0};
        std::atomic<bool> ends{false};
        ServingThread serving{server};
        std::vector<std::thread> clients;
        for (int i = 0; i < 4; ++i) {
            clients.emplace_back([&] {
                while (!ends) {
                    try {
                        Socket client = connect(server.server_address());
                        if (ask(client, "hello\n") == "hello\n") ++answered;
                    } catch (const std::system_error&) {
                        // Not accepted any more.
                    }
                }
            });
        }
        CHECK(eventually([&] { return answered >= 1000; }));
        serving.stop();
        server.server_close();
        ends = true;
        for (std::thread& client : clients) client.join();
        CHECK(answered == board->accepted);
        CHECK(board->ended == board->accepted);
        CHECK(server.errors().empty());
    }
    CHECK(before.are_back());
}
