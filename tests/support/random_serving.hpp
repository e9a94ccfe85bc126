// SPDX-License-Identifier: MIT
// Random options, clients and ends: a server of any policy whose accounts must agree afterwards,
// and which must leave nothing behind.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

class Random {
  public:
    explicit Random(unsigned seed) : engine_{seed} {}
    int below(int end) { return static_cast<int>(engine_() % static_cast<unsigned>(end)); }
    bool once_in(int times) { return below(times) == 0; }

  private:
    std::mt19937 engine_;
};

/// Clients that come one after the other, several at a time, until they are told to end or nobody
/// listens. In a process of their own: the server's may fork while they allocate.
class Clients {
  public:
    using Visit = void (*)(const Address& address, Random& random);

    Clients(const ServerBase& server, Visit visit, unsigned seed) {
        auto [told, tell] = unix_pair();
        process_ = ::fork();
        if (process_ == 0) {
            tell.close();  // the end of the test's process shall be seen
            ::close(server.fileno());
            run(server.server_address(), visit, seed, told);
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
    static void run(const Address& address, Visit visit, unsigned seed, Socket& told) noexcept {
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

/// Counts what its hooks are told. `Base` is one of the four servers, under any policy.
template <class Base>
class CountingServer : public Base {
  public:
    using typename Base::Request;

    CountingServer(const Address& address, const ServerOptions& options, unsigned seed)
        : Base{address, options}, random_{seed} {}
    CountingServer(const CountingServer&) = delete;
    CountingServer& operator=(const CountingServer&) = delete;
    ~CountingServer() override { this->server_close(); }

    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> closed{0};
    std::atomic<std::size_t> refused{0};
    std::string server_errors() const {
        const std::lock_guard lock{mutex_};
        return server_errors_;
    }

  private:
    bool verify_request(const Request&, const Address&) override {
        const std::lock_guard lock{mutex_};  // several threads may serve
        return !random_.once_in(50);
    }
    void refuse_request(Request& request, const Address&, RefuseCause) override {
        ++refused;
        if constexpr (requires { request.sendall("busy\n"); }) {
            request.settimeout(0ns);
            request.sendall("busy\n");
        }
    }
    void connection_opened(const Address&) override { ++opened; }
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        ++closed;
    }
    void handle_error(Request&, const Address&, std::exception_ptr) override {}
    void handle_server_error(std::exception_ptr error) override {
        const std::lock_guard lock{mutex_};
        server_errors_ += text_of([&] { std::rethrow_exception(error); });
    }

    mutable std::mutex mutex_;
    Random random_;
    std::string server_errors_;
};

inline ServerOptions random_options(Random& random) {
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

/// SOCKETSERVER_TEST_SEED=100 tries others than the usual ones.
inline unsigned first_seed() {
    const char* text = std::getenv("SOCKETSERVER_TEST_SEED");
    return text == nullptr ? 1 : static_cast<unsigned>(std::stoul(text));
}

/// `set_up(server, random)` chooses what the policy has to choose from.
template <class Base>
void check_random_clients(const Address& address, Clients::Visit visit, auto set_up) {
    const TimeLimit limit;
    const unsigned seed = first_seed() + static_cast<unsigned>(GENERATE(range(0, 4)));
    CAPTURE(seed);
    Random random{seed};
    const Counts before;
    {
        CountingServer<Base> server{address, random_options(random), seed};
        set_up(server, random);
        constexpr bool forks = requires { server.active_children(); };
        constexpr bool preforks = requires { server.worker_pids(); };
        Clients clients{server, visit, seed * 100};
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

inline const auto nothing = [](auto&, Random&) {};
inline const auto small_pool = [](auto& server, Random& random) {
    server.max_threads = 1 + static_cast<std::size_t>(random.below(4));
    server.max_queue = static_cast<std::size_t>(random.below(4));
    server.when_full = static_cast<WhenFull>(random.below(3));
};
inline const auto few_children = [](auto& server, Random& random) {
    server.max_children = 1 + static_cast<std::size_t>(random.below(10));
};
/// Threads with fibers.
inline const auto one_or_two_workers = [](auto& server, Random& random) {
    server.workers = 1 + static_cast<unsigned>(random.below(2));
};
/// Processes.
inline const auto few_workers = [](auto& server, Random& random) {
    server.workers = 1 + static_cast<std::size_t>(random.below(3));
    if (random.once_in(3)) server.max_requests = 20;
};

}  // namespace socketserver::tests
