// SPDX-License-Identifier: MIT
// The limits of ServerOptions over all worker processes together: hard, exact, and given back by
// whoever dies.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/types.h>
#include <unistd.h>

#include "request/shared_limits.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Answers each line with the number of its process.
class SayPid : public StreamRequestHandler {
    void handle() override {
        for ([[maybe_unused]] std::string_view line : rfile()) wfile().print("{}\n", ::getpid());
    }
};

template <template <class> class MixIn>
class Server : public TCPServer<SayPid, MixIn> {
  public:
    explicit Server(ServerOptions options) : TCPServer<SayPid, MixIn>{any_port, options} {
        this->workers = 3;
    }
    ~Server() override { this->server_close(); }

    /// Connections that have ended in a worker; there is room for as many again.
    Shared<std::atomic<int>> closed;

  private:
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        ++*closed;
    }
    void handle_server_error(std::exception_ptr) override {}  // a worker that is killed is one
};

/// The process that serves a client; 0: it was refused.
pid_t worker_of(Socket& client) {
    try {
        client.sendall("pid\n");
        const std::string pid = client.recv(64);
        return pid.empty() ? 0 : std::stoi(pid);
    } catch (const std::system_error&) {
        return 0;
    }
}

/// As many clients as asked for, at the same time, and the processes that serve them; those that
/// are refused are closed.
std::vector<std::pair<Socket, pid_t>> flood(const Address& address, std::size_t count) {
    constexpr std::size_t threads = 4;
    std::vector<std::vector<std::pair<Socket, pid_t>>> served(threads);
    std::vector<std::thread> running;
    for (auto& own : served) {
        running.emplace_back([&own, &address, count] {
            for (std::size_t i = 0; i < count / threads; ++i) {
                try {
                    Socket client = connect(address);
                    if (const pid_t pid = worker_of(client); pid != 0) {
                        own.emplace_back(std::move(client), pid);
                    }
                } catch (const std::system_error&) {  // reset before connect(2) returned
                }
            }
        });
    }
    for (std::thread& thread : running) thread.join();
    std::vector<std::pair<Socket, pid_t>> all;
    for (auto& own : served) std::ranges::move(own, std::back_inserter(all));
    return all;
}

template <template <class> class MixIn>
void check_flood() {
    const TimeLimit limit;
    Server<MixIn> server{{.max_connections = 30, .overload = Overload::close}};
    ServingThread serving{server};
    CHECK(has_workers(server, 3));
    auto clients = flood(server.server_address(), 1000);
    CHECK(clients.size() == 30);
    CHECK(server.statistics().active == 30);
    CHECK(server.statistics().refused(RefuseCause::max_connections) == 970);

    // Room that is given back by one worker may be taken by another one. As long as there is some,
    // nobody is refused.
    clients.resize(10);
    CHECK(eventually([&] { return *server.closed == 20; }));
    CHECK(server.statistics().active == 10);
    CHECK(flood(server.server_address(), 20).size() == 20);
    serving.stop();
}

}  // namespace

TEST_CASE("max_connections is hard and exact over all workers, under a flood") {
    check_flood<PreforkOf<ThreadingMixIn>::MixIn>();
}

TEST_CASE("at max_connections all workers wait until one of them has room") {
    const TimeLimit limit;
    Server<PreforkOf<ThreadingMixIn>::MixIn> server{{.max_connections = 2}};
    ServingThread serving{server};
    CHECK(has_workers(server, 3));
    Socket first = connect(server.server_address());
    Socket second = connect(server.server_address());
    CHECK(worker_of(first) != 0);
    CHECK(worker_of(second) != 0);
    Socket third = connect(server.server_address());
    third.sendall("pid\n");
    CHECK(server.statistics().accepted == 2);
    first.close();
    CHECK_FALSE(third.recv(64).empty());
    serving.stop();
}

TEST_CASE("max_connections_per_address holds over all workers") {
    const TimeLimit limit;
    Server<PreforkOf<ThreadingMixIn>::MixIn> server{{.max_connections_per_address = 5}};
    ServingThread serving{server};
    CHECK(has_workers(server, 3));
    auto clients = flood(server.server_address(), 100);
    CHECK(clients.size() == 5);

    Socket other{server.server_address(), SocketType::stream};
    other.bind({"127.0.0.2", 0});
    other.settimeout(patience);
    other.connect(server.server_address());
    CHECK(worker_of(other) != 0);

    clients.resize(3);
    CHECK(eventually([&] { return *server.closed == 2; }));
    CHECK(server.statistics().active == 4);
    CHECK(flood(server.server_address(), 100).size() == 2);
    serving.stop();
}

TEST_CASE("max_accept_rate holds over all workers") {
    const TimeLimit limit;
    Server<PreforkMixIn> server{{.max_accept_rate = 20}};
    ServingThread serving{server};
    CHECK(has_workers(server, 3));
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 10; ++i) {
        Socket client = connect(server.server_address());
        CHECK(worker_of(client) != 0);
    }
    // Two at once, then one each 50 ms, whoever accepts it.
    CHECK(std::chrono::steady_clock::now() - begin >= 400ms);
    serving.stop();
}

TEST_CASE("what a worker had when it was killed is given back, and no more than that") {
    if (!may_fork_beside_allocating_threads) return;  // its successor is forked meanwhile
    const TimeLimit limit;
    Server<PreforkOf<ThreadingMixIn>::MixIn> server{
        {.max_connections = 12, .max_connections_per_address = 12, .overload = Overload::close}};
    ServingThread serving{server};
    CHECK(has_workers(server, 3));
    auto clients = flood(server.server_address(), 100);
    REQUIRE(clients.size() == 12);
    const pid_t victim = clients.front().second;
    ::kill(victim, SIGKILL);
    std::erase_if(clients, [&](const auto& client) { return client.second == victim; });
    CHECK(eventually([&] { return server.statistics().active == clients.size(); }));
    const std::size_t free = 12 - clients.size();
    CHECK(flood(server.server_address(), 100).size() == free);
    serving.stop();
}

TEST_CASE("what each of many workers had is given back") {
    if (!may_fork_beside_allocating_threads) return;  // their successors are forked meanwhile
    const TimeLimit limit;
    constexpr std::size_t many = 70;
    Server<PreforkMixIn> server{{.max_connections = many}};
    server.workers = many;
    ServingThread serving{server};
    CHECK(has_workers(server, many));
    const auto settled = std::chrono::steady_clock::now() + 1100ms;  // none dies as a beginner
    for (int round = 0; round < 2; ++round) {
        // One for each worker, which serves one at a time.
        std::vector<Socket> clients;
        std::vector<pid_t> pids;
        for (std::size_t i = 0; i < many; ++i) {
            clients.push_back(connect(server.server_address()));
            pids.push_back(worker_of(clients.back()));
            REQUIRE(pids.back() != 0);
        }
        CHECK(server.statistics().active == many);
        std::this_thread::sleep_until(settled);
        for (const pid_t pid : pids) ::kill(pid, SIGKILL);
        CHECK(eventually([&] { return server.statistics().active == 0; }));
    }
    serving.stop();
}

TEST_CASE("shared limits: what a worker has is its own, the limit is everybody's") {
    detail::SharedLimits limits;
    const detail::Origin one{AddressFamily::inet, 1};
    const detail::Origin two{AddressFamily::inet6, 1};
    CHECK(limits.take_share(0, one, 2));
    CHECK(limits.take_share(1, one, 2));
    CHECK_FALSE(limits.take_share(2, one, 2));
    CHECK(limits.take_share(2, two, 2));
    limits.give_back_share(0, one);
    CHECK(limits.take_share(2, one, 2));
    limits.give_back_all(2);
    CHECK(limits.take_share(0, one, 2));
    CHECK_FALSE(limits.take_share(0, one, 2));
    CHECK(limits.take_share(0, two, 1));

    CHECK(limits.take_room(0, 2));
    CHECK(limits.take_room(1, 2));
    CHECK_FALSE(limits.take_room(1, 2));
    limits.give_back_all(0);
    CHECK(limits.taken() == 1);
}
