// SPDX-License-Identifier: MIT
// Random options, clients and ends under every policy: the accounts agree afterwards, and nothing
// is left behind. SOCKETSERVER_TEST_SEED=100 tries others than the usual ones.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "connected_sockets.hpp"
#include "counts.hpp"
#include "serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

class Random {
  public:
    explicit Random(unsigned seed) : engine_{seed} {}
    int below(int end) { return static_cast<int>(engine_() % static_cast<unsigned>(end)); }
    bool once_in(int times) { return below(times) == 0; }

  private:
    std::mt19937 engine_;
};

/// Does what the first letter of each line says.
class Obedient : public StreamRequestHandler {
    void handle() override {
        for (const std::string_view line : rfile()) {
            if (line.front() == 't') throw std::runtime_error("told to");
            if (line.front() == 'l') return;  // leaves, whatever else there is to read
            if (line.front() == 'm') wfile().write(std::string(1'000'000, 'x'));
            if (line.front() == 'c') std::this_thread::sleep_for(3ms);  // computes
            wfile().write(line);
        }
    }
};

/// One client: some lines, of which it may not wait for the answers, and one of several ends.
void visit(const Address& address, Random& random) {
    static constexpr std::array<std::string_view, 5> lines{"echo\n", "throw\n", "leave\n", "much\n",
                                                           "compute\n"};
    Socket client = create_connection(address, SocketType::stream, 400ms);
    for (int left = random.below(4); left > 0; --left) {
        if (random.once_in(40)) client.sendall(std::string(70'000, 'y'));  // no end of line
        client.sendall(lines[static_cast<std::size_t>(random.below(lines.size()))]);
        if (!random.once_in(3)) client.recv(4096);
    }
    if (random.once_in(4)) {
        reset(client);
    } else if (random.once_in(3)) {
        client.shutdown(ShutdownHow::write);
        read_to_end(client);
    } else if (random.once_in(6)) {
        client.recv(1);  // silent for as long as it has patience
    }
}

/// Clients that come one after the other, several at a time, until they are told to end or nobody
/// listens. In a process of their own: the server's may fork while they allocate.
class Clients {
  public:
    Clients(const ServerBase& server, unsigned seed) {
        auto [told, tell] = unix_pair();
        process_ = ::fork();
        if (process_ == 0) {
            tell.close();  // the end of the test's process shall be seen
            ::close(server.fileno());
            run(server.server_address(), seed, told);
            ::_exit(0);
        }
        REQUIRE(process_ != -1);
        tell_ = std::move(tell);
    }
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;
    ~Clients() { end(); }

    void end() {
        if (process_ == -1) return;
        CHECK(tell_.send("e") == 1);
        CHECK(::waitpid(std::exchange(process_, -1), nullptr, 0) != -1);
    }

  private:
    /// noexcept: an exception would go on in the test's own code, a second time.
    static void run(const Address& address, unsigned seed, Socket& told) noexcept {
        std::atomic<bool> ended{false};
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < 6; ++i) {
            threads.emplace_back([&, random = Random{seed + i}]() mutable {
                while (!ended) {
                    try {
                        visit(address, random);
                    } catch (const std::system_error& error) {
                        if (error.code() == std::errc::connection_refused) return;
                    }
                }
            });
        }
        told.recv(1);
        ended = true;
        for (std::thread& thread : threads) thread.join();
    }

    Socket tell_;
    pid_t process_ = -1;
};

/// Counts what its hooks are told.
template <template <class> class MixIn>
class Server : public TCPServer<Obedient, MixIn> {
  public:
    Server(const ServerOptions& options, unsigned seed)
        : TCPServer<Obedient, MixIn>{any_port, options}, random_{seed} {}
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() override { this->server_close(); }

    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> closed{0};
    std::atomic<std::size_t> refused{0};
    std::string server_errors() const {
        const std::lock_guard lock{mutex_};
        return server_errors_;
    }

  private:
    bool verify_request(const Socket&, const Address&) override {
        const std::lock_guard lock{mutex_};  // several threads may serve
        return !random_.once_in(50);
    }
    void refuse_request(Socket& request, const Address&, RefuseCause) override {
        ++refused;
        request.settimeout(0ns);
        request.sendall("busy\n");
    }
    void connection_opened(const Address&) override { ++opened; }
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        ++closed;
    }
    void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    void handle_server_error(std::exception_ptr error) override {
        const std::lock_guard lock{mutex_};
        server_errors_ += text_of([&] { std::rethrow_exception(error); });
    }

    mutable std::mutex mutex_;
    Random random_;
    std::string server_errors_;
};

ServerOptions random_options(Random& random) {
    ServerOptions options;
    options.overload = static_cast<Overload>(random.below(3));
    if (random.once_in(3)) options.max_connections = 1 + random.below(8);
    if (random.once_in(4)) options.max_connections_per_address = 1 + random.below(6);
    if (random.once_in(5)) options.max_accept_rate = 100 + random.below(2000);
    if (random.once_in(3)) options.idle_timeout = std::chrono::milliseconds{5 + random.below(100)};
    if (random.once_in(3)) {
        options.request_timeout = std::chrono::milliseconds{5 + random.below(100)};
    }
    return options;
}

unsigned first_seed() {
    const char* text = std::getenv("SOCKETSERVER_TEST_SEED");
    return text == nullptr ? 1 : static_cast<unsigned>(std::stoul(text));
}

/// `set_up(server, random)` chooses what the policy has to choose from.
template <template <class> class MixIn>
void check(auto set_up) {
    const TimeLimit limit;
    const unsigned seed = first_seed() + static_cast<unsigned>(GENERATE(range(0, 4)));
    CAPTURE(seed);
    Random random{seed};
    const Counts before;
    {
        Server<MixIn> server{random_options(random), seed};
        set_up(server, random);
        constexpr bool forks = requires { server.active_children(); };
        constexpr bool preforks = requires { server.worker_pids(); };
        Clients clients{server, seed * 100};
        std::optional<ServingThread> serving{server};
        std::optional<ServingThread> another;
        if (!forks && !preforks && random.once_in(3)) another.emplace(server);
        const auto enough = static_cast<std::uint64_t>(10 + random.below(200));
        eventually([&] { return server.statistics().accepted >= enough; }, 1s);
        if (random.once_in(4)) {
            server.pause();
            server.resume();
        }
        const int end = random.below(4);
        CAPTURE(end);
        if (end == 0) {
            serving->stop();
            clients.end();
        } else if (end == 1) {
            server.drain(std::chrono::milliseconds{random.below(200)});
        } else if (end == 2) {
            clients.end();
            server.drain(1s);
        }
        server.server_close();
        clients.end();
        serving.reset();
        another.reset();

        const Statistics statistics = server.statistics();
        CHECK(statistics.active == 0);
        CHECK(statistics.accepted == statistics.closed() + statistics.refused());
        CHECK(server.server_errors().empty());
        if (!preforks) {  // its workers' hooks are called there
            CHECK(server.opened == statistics.closed());
            CHECK(server.closed == statistics.closed());
            CHECK(server.refused ==
                  statistics.refused() - statistics.refused(RefuseCause::verify_request));
        }
    }
    CHECK(before.are_back());
}

const auto nothing = [](auto&, Random&) {};
const auto small_pool = [](auto& server, Random& random) {
    server.max_threads = 1 + static_cast<std::size_t>(random.below(4));
    server.max_queue = static_cast<std::size_t>(random.below(4));
    server.when_full = static_cast<WhenFull>(random.below(3));
};
const auto few_workers = [](auto& server, Random& random) {
    server.workers = 1 + static_cast<std::size_t>(random.below(3));
    if (random.once_in(3)) server.max_requests = 20;
};

}  // namespace

TEST_CASE("random clients: synchronous") { check<SynchronousMixIn>(nothing); }
TEST_CASE("random clients: threading") { check<ThreadingMixIn>(nothing); }
TEST_CASE("random clients: pool") { check<ThreadPoolMixIn>(small_pool); }
TEST_CASE("random clients: forking") {
    check<ForkingMixIn>([](auto& server, Random& random) {
        server.max_children = 1 + static_cast<std::size_t>(random.below(10));
    });
}
TEST_CASE("random clients: prefork") { check<PreforkMixIn>(few_workers); }
TEST_CASE("random clients: prefork with threads") {
    check<PreforkOf<ThreadingMixIn>::MixIn>(few_workers);
}
TEST_CASE("random clients: prefork with a pool") {
    check<PreforkOf<ThreadPoolMixIn>::MixIn>([](auto& server, Random& random) {
        few_workers(server, random);
        small_pool(server, random);
    });
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("random clients: fibers") {
    check<FiberMixIn>([](auto& server, Random& random) {
        server.workers = 1 + static_cast<unsigned>(random.below(2));
    });
}
TEST_CASE("random clients: prefork with fibers") {
    using PreforkServer = Server<PreforkOf<FiberMixIn>::MixIn>;
    check<PreforkOf<FiberMixIn>::MixIn>([](PreforkServer& server, Random& random) {
        few_workers(server, random);
        server.FiberMixIn::workers = 1;  // threads in each process
    });
}
#endif
