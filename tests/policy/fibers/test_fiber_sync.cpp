// SPDX-License-Identifier: MIT
// What handlers share: among fibers of several workers, and outside of fibers.
#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/fiber_serving.hpp"
#include "support/scripted_sys.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Lets `count` clients run a function at once, and waits for all.
void in_fibers(int count, unsigned workers, const std::function<void(int)>& function) {
    std::atomic<int> next{0};
    CallingServer server{[&](Calling& handler) {
                             handler.rfile().readline();
                             function(next++);
                             handler.wfile().write("done\n");
                         },
                         workers};
    ServingThread serving{server};
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) clients.push_back(connect(server.server_address()));
    for (Socket& client : clients) client.sendall("go on\n");
    for (Socket& client : clients) CHECK(read_to_end(client) == "done\n");
    serving.stop();
    CHECK(server.errors().empty());
}

/// Its handle_error() takes a mutex.
class LockingServer : public FiberTCPServer<EchoLines> {
  public:
    explicit LockingServer(Mutex& mutex) : FiberTCPServer<EchoLines>{any_port}, mutex_{mutex} {
        workers = 2;
    }
    ~LockingServer() override { server_close(); }
    std::promise<void> begun;
    std::atomic<bool> entered{false};

  private:
    void handle_error(Socket&, const Address&, std::exception_ptr) override {
        if (entered) return;  // a handler that the end of the test cancels
        begun.set_value();
        const std::lock_guard lock{mutex_};
        entered = true;
    }
    Mutex& mutex_;
};

}  // namespace

TEST_CASE("a mutex excludes fibers of all workers") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 3U);
    Mutex mutex;
    int counter = 0;
    bool inside = false;
    std::atomic<bool> broken{false};
    in_fibers(12, workers, [&](int) {
        for (int i = 0; i < 200; ++i) {
            const std::lock_guard lock{mutex};
            if (std::exchange(inside, true)) broken = true;
            if (i % 10 == 0) yield();
            ++counter;
            inside = false;
        }
    });
    CHECK(counter == 12 * 200);
    CHECK_FALSE(broken);
}

TEST_CASE("a mutex excludes threads and fibers from each other") {
    const TimeLimit limit;
    Mutex mutex;
    int counter = 0;
    std::thread thread{[&] {
        for (int i = 0; i < 1000; ++i) {
            const std::lock_guard lock{mutex};
            ++counter;
        }
    }};
    in_fibers(2, 2, [&](int) {
        for (int i = 0; i < 1000; ++i) {
            const std::lock_guard lock{mutex};
            ++counter;
        }
    });
    thread.join();
    CHECK(counter == 3000);
    CHECK(mutex.try_lock());
    CHECK_FALSE(mutex.try_lock());
    mutex.unlock();
}

TEST_CASE("a worker that waits for a mutex gets it, although a request is posted to it") {
    const TimeLimit limit;
    std::atomic<bool> has_stacks{true};
    const Scripted<&Calls::madvise> no_guards{[](auto...) { return fail(EINVAL); }};
    const Scripted<&Calls::mprotect> mprotect{[&](auto... arguments) {
        return has_stacks ? sys::kernel.mprotect(arguments...) : fail(ENOMEM);
    }};
    Mutex mutex;
    LockingServer server{mutex};
    ServingThread serving{server};
    // In turn to the serving thread and to the other worker.
    Socket first = connect(server.server_address());
    CHECK(ask(first, "1\n") == "1\n");
    Socket second = connect(server.server_address());
    CHECK(ask(second, "2\n") == "2\n");
    Socket third = connect(server.server_address());
    CHECK(ask(third, "3\n") == "3\n");

    std::unique_lock lock{mutex};
    has_stacks = false;
    Socket without_stack = connect(server.server_address());
    server.begun.get_future().wait();
    has_stacks = true;
    Socket fifth = connect(server.server_address());
    CHECK(ask(fifth, "5\n") == "5\n");
    Socket posted = connect(server.server_address());
    Socket seventh = connect(server.server_address());
    CHECK(ask(seventh, "7\n") == "7\n");  // accepted, so the one before has been posted
    // The other worker has read its mail when it answers, and when it answers again, whoever was
    // woken by the mail has run.
    CHECK(ask(second, "again\n") == "again\n");
    CHECK(ask(second, "again\n") == "again\n");
    CHECK_FALSE(server.entered);
    lock.unlock();
    CHECK(ask(posted, "6\n") == "6\n");
    CHECK(server.entered);
    CHECK(read_to_end(without_stack).empty());
}

TEST_CASE("push() to a queue without a capacity never suspends") {
    const TimeLimit limit;
    constexpr int count = 100'000;
    Queue<int> queue;
    int taken = 0;
    std::thread consumer{[&] {
        while (queue.pop()) ++taken;
    }};
    bool suspended = true;
    in_fiber([&] {
        int turns = 0;
        bool stop = false;
        Fiber neighbour = spawn([&] {
            while (!stop) {
                ++turns;
                yield();
            }
        });
        yield();
        const int before = turns;
        for (int i = 0; i < count; ++i) queue.push(i);
        suspended = turns != before;
        stop = true;
        neighbour.join();
    });
    queue.close();
    consumer.join();
    CHECK_FALSE(suspended);
    CHECK(taken == count);
}

TEST_CASE("a queue hands values from worker to worker, in order") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 2U);
    Queue<int> queue{4};
    std::vector<int> taken;
    in_fibers(2, workers, [&](int index) {
        if (index == 0) {
            for (int i = 0; i < 500; ++i) queue.push(i);
            queue.close();
        } else {
            while (const auto value = queue.pop()) taken.push_back(*value);
        }
    });
    REQUIRE(taken.size() == 500);
    for (int i = 0; i < 500; ++i) CHECK(taken[static_cast<std::size_t>(i)] == i);
    CHECK_FALSE(queue.push(1));
    CHECK_FALSE(queue.try_pop());
}

TEST_CASE("waiting for a condition ends in time, and with the server") {
    const TimeLimit limit;
    Queue<int> queue;
    std::promise<void> waits;
    bool timed_out = false;
    CallingServer server{[&](Calling&) {
        timed_out = !queue.pop_for(5ms);
        waits.set_value();
        queue.pop();
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    waits.get_future().wait();
    serving.stop();
    CHECK(timed_out);
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
    // Whoever was cancelled has left the queue.
    CHECK(queue.push(1));
    CHECK(queue.pop() == 1);
}

TEST_CASE("a notification and a timeout at the same time lose nothing") {
    const TimeLimit limit;
    constexpr int count = 300;
    Queue<int> queue;
    std::atomic<int> taken{0};
    std::thread producer{[&] {
        for (int i = 0; i < count; ++i) {
            queue.push(i);
            std::this_thread::yield();
        }
    }};
    in_fibers(4, 2, [&](int) {
        while (taken < count) {
            if (queue.pop_for(std::chrono::microseconds{1})) ++taken;
        }
    });
    producer.join();
    CHECK(taken == count);
}

TEST_CASE("siblings are waited for, and tell their errors") {
    const TimeLimit limit;
    std::string result;
    std::string error;
    const auto body = [&](int) {
        Fiber fails = spawn([] { throw std::runtime_error("of the sibling"); });
        Queue<std::string> queue;
        Fiber answers = spawn([&] { queue.push("from the sibling"); });
        result = queue.pop().value_or("");
        try {
            fails.join();
        } catch (const std::runtime_error& of_sibling) {
            error = of_sibling.what();
        }
        answers.join();
    };
    SECTION("in a fiber") {
        in_fibers(1, 1, [&](int) { body(0); });
    }
    SECTION("in a thread") { body(0); }
    CHECK(result == "from the sibling");
    CHECK(error == "of the sibling");
}

TEST_CASE("outside of fibers everything does the ordinary thing") {
    const TimeLimit limit;
    const auto before = std::chrono::steady_clock::now();
    sleep_for(2ms);
    CHECK(std::chrono::steady_clock::now() - before >= 2ms);
    yield();
    CHECK(run_blocking([] { return std::this_thread::get_id(); }) == std::this_thread::get_id());
    Mutex mutex;
    ConditionVariable condition;
    std::unique_lock lock{mutex};
    CHECK_FALSE(condition.wait_until(lock, std::chrono::steady_clock::now() + 1ms));
    bool set = false;
    std::thread other{[&] {
        const std::lock_guard locked{mutex};
        set = true;
        condition.notify_one();
    }};
    condition.wait(lock, [&] { return set; });
    lock.unlock();
    other.join();
    CHECK(set);
}
