// SPDX-License-Identifier: MIT
// The largest and the smallest durations, wherever a caller may give one.
#include <chrono>
#include <future>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include "socketserver/detail/os/clock.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "support/fiber_serving.hpp"
#endif

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;
using detail::Clock;
using detail::deadline_after;
using detail::never;

namespace {

constexpr auto for_ever = std::chrono::nanoseconds::max();
constexpr auto long_ago = std::chrono::nanoseconds::min();

}  // namespace

TEST_CASE("a deadline is never earlier than now, and never later than never") {
    const Clock::time_point now = Clock::now();
    CHECK(deadline_after(5s, now) == now + 5s);
    CHECK(deadline_after(0s, now) == now);
    CHECK(deadline_after(-1ns, now) == now);
    CHECK(deadline_after(long_ago, now) == now);
    CHECK(deadline_after(std::chrono::milliseconds::min(), now) == now);
    CHECK(deadline_after(for_ever, now) == never);
    CHECK(deadline_after(std::chrono::milliseconds::max(), now) == never);
    CHECK(deadline_after(std::chrono::hours::max(), now) == never);
    CHECK(deadline_after(never - now, now) == never);
    CHECK(deadline_after(never - now - 1ns, now) == never - 1ns);
    CHECK(deadline_after(std::chrono::hours{24 * 365 * 100}, now) ==
          now + std::chrono::hours{24 * 365 * 100});
}

TEST_CASE("a server waits for the largest times") {
    const TimeLimit limit;
    TCPServer<EchoLines> server{any_port,
                                {.timeout = std::chrono::milliseconds::max(),
                                 .idle_timeout = for_ever,
                                 .request_timeout = for_ever}};
    SECTION("handle_request") {
        Socket client = connect(server.server_address());
        std::jthread serving{[&] { server.handle_request(); }};
        CHECK(ask(client, "hello\n") == "hello\n");
        client.close();
    }
    SECTION("serve_forever") {
        std::jthread serving{[&](std::stop_token stop) {
            server.serve_forever(std::move(stop), std::chrono::milliseconds::max());
        }};
        Socket client = connect(server.server_address());
        CHECK(ask(client, "hello\n") == "hello\n");
        client.close();
    }
    SECTION("drain") {
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        CHECK(ask(client, "hello\n") == "hello\n");
        // The handler may have sent its answer, and not wait again yet.
        const DrainReport report = server.drain(for_ever);
        CHECK(report.idle_closed + report.finished == 1);
    }
}

TEST_CASE("the smallest times are over at once") {
    const TimeLimit limit;
    std::atomic<bool> exceeded{false};
    class Server : public TCPServer<EchoLines> {
      public:
        explicit Server(std::atomic<bool>& exceeded)
            : TCPServer<EchoLines>{any_port, {.request_timeout = long_ago}}, exceeded_{exceeded} {}
        ~Server() override { server_close(); }

      private:
        void handle_error(Socket&, const Address&, std::exception_ptr error) override try {
            std::rethrow_exception(error);
        } catch (const DeadlineExceeded&) {
            exceeded_ = true;
        }
        std::atomic<bool>& exceeded_;
    } server{exceeded};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("hello");  // and no end of the line: the handler has to wait
    CHECK(read_to_end(client).empty());
    CHECK(server.drain(long_ago).remaining == 0);
    CHECK(exceeded);
}

#ifdef SOCKETSERVER_TEST_FIBER
namespace {

/// What waits must go on waiting: there is no event that tells of it, so a little time is given to
/// what would not.
template <class Value>
void check_waits(std::future<Value>& result) {
    CHECK(result.wait_for(20ms) == std::future_status::timeout);
}

void check_queue(const std::function<void(const std::function<void()>&)>& run) {
    Queue<int> queue;
    std::promise<std::optional<int>> promise;
    std::future<std::optional<int>> popped = promise.get_future();
    std::jthread waiting{[&] { run([&] { promise.set_value(queue.pop_for(for_ever)); }); }};
    check_waits(popped);
    queue.push(1);
    CHECK(popped.get() == 1);
    run([&] { CHECK_FALSE(queue.pop_for(long_ago)); });
}

void check_condition(const std::function<void(const std::function<void()>&)>& run) {
    Mutex mutex;
    ConditionVariable condition;
    bool is_set = false;
    std::promise<bool> promise;
    std::future<bool> waited = promise.get_future();
    std::jthread waiting{[&] {
        run([&] {
            std::unique_lock lock{mutex};
            promise.set_value(condition.wait_for(lock, for_ever, [&] { return is_set; }));
        });
    }};
    check_waits(waited);
    {
        const std::lock_guard lock{mutex};
        is_set = true;
    }
    condition.notify_all();
    CHECK(waited.get());
    bool in_time = true;
    run([&] {
        std::unique_lock lock{mutex};
        in_time = condition.wait_for(lock, long_ago, [] { return false; });
    });
    CHECK_FALSE(in_time);
}

void in_thread(const std::function<void()>& function) { function(); }

}  // namespace

TEST_CASE("a queue and a condition wait for ever") {
    const TimeLimit limit;
    SECTION("thread") {
        check_queue(in_thread);
        check_condition(in_thread);
    }
    SECTION("fiber") {
        const auto run = [](const std::function<void()>& function) { in_fiber(function); };
        check_queue(run);
        check_condition(run);
    }
}

TEST_CASE("a fiber that sleeps for ever is woken by a stop") {
    const TimeLimit limit;
    std::promise<void> returned;
    std::future<void> woken = returned.get_future();
    CallingServer server{[&](Calling& handler) {
        sleep_for(long_ago);
        handler.wfile().write("asleep\n");
        try {
            sleep_for(for_ever);
        } catch (const Cancelled&) {
            returned.set_value();
            throw;
        }
        returned.set_value();
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(client.recv(100) == "asleep\n");
    check_waits(woken);
    serving.stop();
    woken.get();
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
}
#endif
