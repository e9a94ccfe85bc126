// SPDX-License-Identifier: MIT
// PreforkMixIn: workers that die, retire, stop and are replaced, and nothing else suffers.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "counts.hpp"
#include "sanitizers.hpp"
#include "scripted_sys.hpp"
#include "serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;

const Address any_port{"127.0.0.1", 0};

/// What handlers in the workers tell the test, and the other way round.
struct Board {
    std::atomic<int> accepted{0};
    std::atomic<int> served{0};
    std::atomic<int> ended{0};
    std::atomic<int> waiting{0};
    std::atomic<bool> open{false};
    std::atomic<bool> dies_at_once{false};
    std::atomic<int> port{0};
    std::array<std::atomic<int>, 8> pids{};
};

/// Does what each line says, until the client closes.
class Obedient : public StreamRequestHandler {
  public:
    explicit Obedient(Board& board) : board_{board} {}

  private:
    void handle() override {
        for (std::string_view line = rfile().readline(); !line.empty(); line = rfile().readline()) {
            if (line == "pid\n") {
                wfile().print("{}\n", ::getpid());
            } else if (line == "wait\n") {
                ++board_.waiting;
                eventually([this] { return board_.open.load(); });
                wfile().write("waited\n");
            } else if (line == "crash\n") {
                std::signal(SIGSEGV, SIG_DFL);  // whatever a sanitizer has put there
                std::raise(SIGSEGV);
            } else if (line == "shutdown\n") {
                server().shutdown();
                server().server_close();
                wfile().write("shutdown\n");
            } else {
                wfile().write(line);
            }
        }
        ++board_.ended;
    }
    Board& board_;
};

template <template <class> class MixIn = PreforkMixIn>
class Server : public TCPServer<Obedient, MixIn> {
    using Base = TCPServer<Obedient, MixIn>;

  public:
    explicit Server(Board& board)
        : Base{any_port, {}, [&board] { return Obedient{board}; }}, board_{board} {
        this->workers = 2;
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() override {
        board_.open = true;
        this->server_close();
    }

    std::vector<std::string> errors() const {
        const std::lock_guard lock{mutex_};
        return errors_;
    }

  private:
    bool verify_request(const Socket&, const Address&) override {
        ++board_.accepted;
        return true;
    }
    void service_actions() override {
        if (::getpid() != parent_ && board_.dies_at_once) ::_exit(3);
    }
    void handle_server_error(std::exception_ptr error) override {
        const std::lock_guard lock{mutex_};
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& exception) {
            errors_.emplace_back(exception.what());
        }
    }

    Board& board_;
    const pid_t parent_ = ::getpid();
    mutable std::mutex mutex_;
    std::vector<std::string> errors_;
};

int pid_of(Socket& client) { return std::stoi(ask(client, "pid\n")); }

/// The answer of a connection may be an end or a reset: its worker died.
bool is_cut_off(Socket& client) { return read_to_end(client).empty(); }

template <class S>
bool has_workers(const S& server, std::size_t count) {
    return eventually([&] { return server.worker_pids().size() == count; });
}

}  // namespace

TEST_CASE("prefork over every transport, and nothing is left behind") {
    const TimeLimit limit;
    std::thread{[] {}}.join();  // with it a sanitizer starts a thread of its own, for good
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
        const std::string path = "/tmp/socketserver-test-prefork-" + std::to_string(::getpid());
        PreforkUnixStreamServer<StreamEcho> server{path};
        serve(server, SocketType::stream);
        CHECK(::access(path.c_str(), F_OK) == -1);
    }
    SECTION("Unix datagram") {
        PreforkUnixDatagramServer<DatagramEcho> server{"@socketserver-test-prefork-" +
                                                       std::to_string(::getpid())};
        serve(server, SocketType::datagram);
    }
    CHECK(Counts{} == before);
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
        Server<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
        serve(server, *board);
    }
    SECTION("a pool") {
        Server<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
        serve(server, *board);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") {
        Server<PreforkOf<FiberMixIn>::MixIn> server{*board};
        server.FiberMixIn::workers = 1;  // threads in each process
        serve(server, *board);
    }
#endif
    CHECK(Counts{} == before);
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
    CHECK(Counts{} == before);
}

TEST_CASE("a pool in the workers that is full stops accepting, each worker for itself") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board};
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

TEST_CASE("each worker accepts, the parent does not") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<> server{*board};
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

TEST_CASE("a crash in a handler costs the connections of its worker and nothing else") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        Server<> server{*board};
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
    CHECK(Counts{} == before);
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
        Server<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
        check(server, 3);
    } else {
        Server<> server{*board};
        check(server, 1);
    }
}

TEST_CASE("a drain reaches a worker whose only thread waits for a client") {
    if (!delivers_signals_in_forked_children) return;
    const TimeLimit limit;
    const Shared<Board> board;
    Server<> server{*board};
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
    CHECK(report.idle_closed == 2);
    CHECK(report.finished == 1);
    CHECK(report.cancelled == 0);
    CHECK(server.statistics().active == 0);
}

TEST_CASE("a worker's end is seen without a pidfd as well") {
    const TimeLimit limit;
    const Counts before;
    {
        const Scripted<&Calls::pidfd_open> pidfd_open{[](auto...) { return fail(ENOSYS); }};
        const Shared<Board> board;
        Server<> server{*board};
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
    CHECK(Counts{} == before);
}

TEST_CASE("a worker is replaced after max_requests, and no request is lost") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        Server<> server{*board};
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
    CHECK(Counts{} == before);
}

TEST_CASE("a worker that retires is replaced at once, and finishes what it serves") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<> server{*board};
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

TEST_CASE("a worker that retires keeps its other connections, with an inner policy of threads") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<PreforkOf<ThreadingMixIn>::MixIn> server{*board};
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

TEST_CASE("shutdown() does not wait for workers, server_close() does, and they finish") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        Server<> server{*board};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("wait\n");
        REQUIRE(eventually([&] { return board->waiting == 1; }));
        serving.stop();
        CHECK(server.worker_pids().empty());
        std::atomic<bool> begun{false};
        std::atomic<bool> closed{false};
        std::thread closing{[&] {
            begun = true;
            server.server_close();
            closed = true;
        }};
        CHECK(eventually([&] { return begun.load(); }));
        CHECK_FALSE(closed);
        board->open = true;
        client.shutdown(ShutdownHow::write);
        CHECK(read_to_end(client) == "waited\n");
        closing.join();
        CHECK(child_count() == before.children);
        CHECK(server.errors().empty());
    }
    CHECK(Counts{} == before);
}

TEST_CASE("serving begins again after shutdown(), with new workers") {
    const TimeLimit limit;
    const Counts before;
    {
        const Shared<Board> board;
        Server<> server{*board};
        for (int i = 0; i < 20; ++i) {
            ServingThread serving{server};
            CHECK(ask(server.server_address(), "hello\n") == "hello\n");
            serving.stop();
        }
        CHECK(server.errors().empty());
    }
    CHECK(Counts{} == before);
}

TEST_CASE("shutdown() in a worker ends the whole server") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<> server{*board};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "shutdown\n") == "shutdown\n");
    serving.join();
    CHECK_FALSE(serving.error());
    client.close();
    server.server_close();
    CHECK(server.errors().empty());
}

TEST_CASE("fork fails: reported once, tried again") {
    const TimeLimit limit;
    std::atomic<int> attempts{0};
    const Scripted<&Calls::fork> fork{[&] { return ++attempts <= 4 ? fail(EAGAIN) : ::fork(); }};
    const Shared<Board> board;
    Server<> server{*board};
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
        Server<> server{*board};
        server.workers = 1;
        const auto start = Clock::now();
        const ServingThread serving{server, 1ms};
        REQUIRE(eventually([&] { return forks == 6; }));
        CHECK(Clock::now() - start >= 310ms);  // 10 + 20 + 40 + 80 + 160
        CHECK_THAT(server.errors().at(0), Catch::Matchers::ContainsSubstring("status 3"));
        board->dies_at_once = false;
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    CHECK(Counts{} == before);
}

TEST_CASE("workers end when the parent dies, and finish what they serve") {
    const TimeLimit limit;
    const Shared<Board> board;
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);  // the orphans become children of the test
    const pid_t parent = ::fork();
    if (parent == 0) {
        Server<> server{*board};
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

TEST_CASE("the signals of ShutdownOnSignal are for the parent") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<> server{*board};
    const ShutdownOnSignal signals{server};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const int pid = pid_of(client);
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
    Server<> server{*board};
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
    Server<> server{*board};
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
    {
        const Shared<Board> board;
        Server<> server{*board};
        server.max_requests = GENERATE(0U, 50U);
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
        const int enough = may_fork_beside_allocating_threads ? 1000 : 100;
        CHECK(eventually([&] { return answered >= enough; }));
        serving.stop();
        server.server_close();
        ends = true;
        for (std::thread& client : clients) client.join();
        CHECK(answered == board->accepted);
        CHECK(board->ended == board->accepted);
        CHECK(server.errors().empty());
    }
    CHECK(Counts{} == before);
}
