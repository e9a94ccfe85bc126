// SPDX-License-Identifier: MIT
// Workers that die, retire and are replaced, and nothing else suffers.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/prefork_serving.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;

TEST_CASE("a crash in a handler costs the connections of its worker and nothing else") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        const ServingThread serving{server};
        Socket steady = connect(server.server_address());
        const int steady_pid = pid_of(steady);
        Socket victim = connect(server.server_address());
        const int victim_pid = pid_of(victim);
        REQUIRE(victim_pid != steady_pid);
        SECTION("SIGSEGV") {
            victim.sendall("crash\n");
            CHECK(is_cut_off(victim));
            REQUIRE(eventually([&] { return server.errors().size() == 1; }));
            CHECK_THAT(server.errors()[0], Catch::Matchers::ContainsSubstring(
                                               "worker process " + std::to_string(victim_pid) +
                                               " was killed by signal 11"));
        }
        SECTION("SIGKILL") {
            REQUIRE(::kill(victim_pid, SIGKILL) == 0);
            CHECK(is_cut_off(victim));
            REQUIRE(eventually([&] { return server.errors().size() == 1; }));
            CHECK_THAT(server.errors()[0], Catch::Matchers::ContainsSubstring("signal 9"));
        }
        Socket later = connect(server.server_address());
        const int later_pid = pid_of(later);
        CHECK(later_pid != victim_pid);
        CHECK(later_pid != steady_pid);
        CHECK(ask(steady, "still here\n") == "still here\n");
        CHECK(server.worker_pids().size() == 2);
    }
    CHECK(before.are_back());
}

TEST_CASE("what a worker had accepted when it died is counted as an error") {
    const TimeLimit limit;
    const Shared<Board> board;
    const bool threads = GENERATE(false, true);
    CAPTURE(threads);
    const auto check = [](auto& server, int clients) {
        server.workers = 1;
        ServingThread serving{server};
        std::vector<Socket> others;
        for (int i = 1; i < clients; ++i) {
            others.push_back(connect(server.server_address()));
            CHECK(ask(others.back(), "x\n") == "x\n");
        }
        Socket client = connect(server.server_address());
        client.sendall("crash\n");
        CHECK(read_to_end(client).empty());
        for (Socket& other : others) CHECK(read_to_end(other).empty());
        const auto expected = static_cast<std::uint64_t>(clients);
        CHECK(
            eventually([&] { return server.statistics().closed(CloseReason::error) == expected; }));
        CHECK(server.statistics().active == 0);
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        CHECK(server.statistics().closed(CloseReason::error) == expected);
    };
    if (threads) {
        PreforkServer<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
        check(server, 3);
    } else {
        PreforkServer<> server{*board};
        check(server, 1);
    }
}

TEST_CASE("a worker's end is seen without a pidfd as well") {
    const TimeLimit limit;
    const Counts before;
    {
        const Scripted<&Calls::pidfd_open> pidfd_open{[](auto...) { return fail(ENOSYS); }};
        const Shared<Board> board;
        PreforkServer<> server{*board};
        const ServingThread serving{server};
        Socket client = connect(server.server_address());
        const int pid = pid_of(client);
        REQUIRE(::kill(pid, SIGKILL) == 0);
        CHECK(is_cut_off(client));
        CHECK(eventually([&] { return server.errors().size() == 1; }));
        Socket later = connect(server.server_address());
        CHECK(pid_of(later) != pid);
        CHECK(has_workers(server, 2));
    }
    CHECK(before.are_back());
}

TEST_CASE("a worker's end is seen although its descriptors cannot be watched") {
    const TimeLimit limit;
    const Counts before;
    {
        std::atomic<int> added{0};
        // The first is the timer.
        const Scripted<&Calls::epoll_ctl> full{[&](auto... arguments) {
            return ++added == 1 ? sys::kernel.epoll_ctl(arguments...) : fail(ENOSPC);
        }};
        const Shared<Board> board;
        PreforkServer<> server{*board};
        const ServingThread serving{server, -1ms};  // no interval helps
        Socket client = connect(server.server_address());
        const int pid = pid_of(client);
        REQUIRE(::kill(pid, SIGKILL) == 0);
        CHECK(is_cut_off(client));
        CHECK(eventually([&] { return server.errors().size() == 1; }));
        CHECK(has_workers(server, 2));
    }
    CHECK(before.are_back());
}

TEST_CASE("without a timer for its workers serve_forever() ends, and may be called again") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        SECTION("none can be made") {
            const Scripted<&Calls::timerfd_create> none{[](auto...) { return fail(EMFILE); }};
            CHECK(error_of([&] { server.serve_forever(); }) == EMFILE);
        }
        SECTION("none can be watched") {
            const Scripted<&Calls::epoll_ctl> full{[](auto...) { return fail(ENOSPC); }};
            CHECK(error_of([&] { server.serve_forever(); }) == ENOSPC);
        }
        const ServingThread serving{server, -1ms};
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    CHECK(before.are_back());
}

TEST_CASE("a worker is replaced after max_requests, and no request is lost") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        PreforkServer<> server{*board};
        server.workers = 1;
        server.max_requests = 3;
        const ServingThread serving{server};
        std::map<int, int> requests;
        for (int i = 0; i < 12; ++i) {
            Socket client = connect(server.server_address());
            ++requests[pid_of(client)];
        }
        CHECK(requests.size() == 4);
        for (const auto& [pid, count] : requests) CHECK(count == 3);
        CHECK(server.errors().empty());
    }
    CHECK(before.are_back());
}

TEST_CASE("a worker that retires is replaced at once, and finishes what it serves") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<> server{*board};
    server.workers = 1;
    const ServingThread serving{server};
    Socket old = connect(server.server_address());
    const int old_pid = pid_of(old);
    CHECK(server.retire_worker(old_pid));
    CHECK_FALSE(server.retire_worker(old_pid));
    CHECK_FALSE(server.retire_worker(::getpid()));
    Socket fresh = connect(server.server_address());
    CHECK(pid_of(fresh) != old_pid);
    CHECK(ask(old, "still here\n") == "still here\n");
    CHECK(pid_of(old) == old_pid);
    CHECK(child_count() == 2);
    old.close();
    CHECK(eventually([] { return child_count() == 1; }));
    CHECK(server.errors().empty());
}

namespace {

/// A worker with one request in service, which retires and is asked for nothing else before.
void check_request_of_retiring_worker(auto& server, Board& board, bool drains) {
    server.workers = 1;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const int pid = pid_of(client);
    client.sendall("wait\n");
    REQUIRE(eventually([&] { return board.waiting == 1; }));
    CHECK(server.retire_worker(pid));
    // The worker has left its loop when a client is another one's. Before it reads the order it may
    // take a client more.
    for (int taker = pid; taker == pid;) {
        Socket fresh = connect(server.server_address());
        taker = pid_of(fresh);
    }
    std::thread drain;
    if (drains) {
        drain = std::thread{[&] { server.drain(20s); }};
        CHECK(eventually([&] { return server.is_draining(); }));
    }
    board.open = true;
    client.shutdown(ShutdownHow::write);
    CHECK(read_to_end(client) == "waited\n");
    if (drain.joinable()) drain.join();
    CHECK(server.errors().empty());
}

}  // namespace

TEST_CASE("a request that is in service when its worker retires is finished") {
    const TimeLimit limit;
    const Shared<Board> board;
    const bool drains = GENERATE(false, true);
    CAPTURE(drains);
    SECTION("threads") {
        PreforkServer<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
        check_request_of_retiring_worker(server, *board, drains);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") {
        PreforkServer<PreforkOf<FiberMixIn>::MixIn> server{*board};
        server.FiberMixIn::workers = 1;
        check_request_of_retiring_worker(server, *board, drains);
    }
#endif
}

TEST_CASE("a worker that retires keeps its other connections, with an inner policy of threads") {
    const TimeLimit limit;
    const Shared<Board> board;
    PreforkServer<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
    server.workers = 1;
    server.max_requests = 2;
    const ServingThread serving{server};
    Socket first = connect(server.server_address());
    const int pid = pid_of(first);
    Socket second = connect(server.server_address());
    CHECK(pid_of(second) == pid);
    Socket third = connect(server.server_address());
    CHECK(pid_of(third) != pid);
    CHECK(pid_of(first) == pid);
    CHECK(pid_of(second) == pid);
}

TEST_CASE("fork fails: reported once, tried again") {
    const TimeLimit limit;
    std::atomic<int> attempts{0};
    const Scripted<&Calls::fork> fork{[&] { return ++attempts <= 4 ? fail(EAGAIN) : ::fork(); }};
    const Shared<Board> board;
    PreforkServer<> server{*board};
    const auto start = Clock::now();
    const ServingThread serving{server};
    CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    CHECK(Clock::now() - start >= 150ms);  // 10 + 20 + 40 + 80
    REQUIRE(server.errors().size() == 1);
    CHECK_THAT(server.errors()[0], Catch::Matchers::ContainsSubstring("fork a worker process"));
}

TEST_CASE("workers that die at once are forked more and more rarely") {
    const TimeLimit limit;
    const Counts before;
    {
        std::atomic<int> forks{0};
        const Scripted<&Calls::fork> fork{[&] {
            ++forks;
            return ::fork();
        }};
        const Shared<Board> board;
        board->dies_at_once = true;
        PreforkServer<> server{*board};
        server.workers = 1;
        const auto start = Clock::now();
        const ServingThread serving{server, 1ms};
        REQUIRE(eventually([&] { return forks == 6; }));
        CHECK(Clock::now() - start >= 310ms);  // 10 + 20 + 40 + 80 + 160
        CHECK_THAT(server.errors().at(0), Catch::Matchers::ContainsSubstring("status 3"));
        board->dies_at_once = false;
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    CHECK(before.are_back());
}

TEST_CASE("workers end when the parent dies, and finish what they serve") {
    const TimeLimit limit;
    const Shared<Board> board;
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);  // the orphans become children of the test
    const pid_t parent = ::fork();
    if (parent == 0) {
        PreforkServer<> server{*board};
        board->port = server.server_address().port();
        server.serve_forever();
        ::_exit(0);
    }
    REQUIRE(eventually([&] { return board->port != 0; }));
    const Address address{"127.0.0.1", static_cast<std::uint16_t>(board->port.load())};
    Socket first = connect(address);
    Socket second = connect(address);
    const std::array<int, 2> pids{pid_of(first), pid_of(second)};
    second.close();
    REQUIRE(::kill(parent, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(parent, &status, 0) == parent);
    CHECK(::waitpid(pids[1], &status, 0) == pids[1]);
    CHECK(status == 0);
    CHECK(ask(first, "still here\n") == "still here\n");
    first.close();
    CHECK(::waitpid(pids[0], &status, 0) == pids[0]);
    CHECK(status == 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("workers end when the parent dies, although another child of it lives") {
    const TimeLimit limit;
    const Shared<Board> board;
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);  // the orphans become children of the test
    const pid_t parent = ::fork();
    if (parent == 0) {
        PreforkServer<> server{*board};
        server.workers = 1;
        std::thread other{[&] {
            // Of the program's own, beside the library.
            if (!has_workers(server, 1)) ::_exit(1);
            const pid_t child = ::fork();
            if (child == 0) {
                ::alarm(50);
                for (;;) ::pause();
            }
            board->pids[0] = child;
            board->port = server.server_address().port();
        }};
        server.serve_forever();
        ::_exit(0);
    }
    REQUIRE(eventually([&] { return board->port != 0; }));
    const Address address{"127.0.0.1", static_cast<std::uint16_t>(board->port.load())};
    Socket client = connect(address);
    const int worker = pid_of(client);
    client.close();
    REQUIRE(::kill(parent, SIGKILL) == 0);
    int status = -1;
    REQUIRE(::waitpid(parent, &status, 0) == parent);
    CHECK(::waitpid(worker, &status, 0) == worker);
    CHECK(status == 0);
    CHECK(::kill(board->pids[0], SIGKILL) == 0);
    CHECK(::waitpid(board->pids[0], &status, 0) == board->pids[0]);
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}
