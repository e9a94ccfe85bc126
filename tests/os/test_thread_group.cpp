// SPDX-License-Identifier: MIT
#include "socketserver/detail/os/thread_group.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver::tests;
using namespace std::chrono_literals;
using socketserver::detail::Job;
using socketserver::detail::ThreadGroup;

namespace {

class FunctionJob final : public Job {
  public:
    explicit FunctionJob(std::function<void()> work, bool daemon = false)
        : Job{daemon}, work_{std::move(work)} {}
    void run() override { work_(); }

  private:
    std::function<void()> work_;
};

void run(ThreadGroup& group, std::function<void()> work, bool daemon = false) {
    std::unique_ptr<Job> job = std::make_unique<FunctionJob>(std::move(work), daemon);
    group.run(job);
}

/// A count that can be waited for, for a bounded time.
class Count {
  public:
    void increment() {
        const std::lock_guard lock{mutex_};
        ++count_;
        changed_.notify_all();
    }
    bool reaches(int wanted) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, 20s, [&] { return count_ >= wanted; });
    }
    int now() {
        const std::lock_guard lock{mutex_};
        return count_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

/// The kernel shows a thread for a moment after it was joined.
bool threads_become(std::size_t wanted) {
    return eventually([wanted] { return thread_count() == wanted; });
}

}  // namespace

TEST_CASE("jobs run at once, each in a thread of its own") {
    Count arrived;
    Count leave;
    std::mutex mutex;
    std::set<std::thread::id> threads;
    ThreadGroup group;
    for (int i = 0; i < 10; ++i) {
        run(group, [&] {
            {
                const std::lock_guard lock{mutex};
                threads.insert(std::this_thread::get_id());
            }
            arrived.increment();
            leave.reaches(1);
        });
    }
    CHECK(arrived.reaches(10));
    leave.increment();
    group.close();
    group.join();
    CHECK(threads.size() == 10);
    CHECK_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_CASE("a thread whose job has ended takes the next one") {
    std::size_t created = 0;
    const Scripted<&Calls::pthread_create> create{[&](auto... arguments) {
        ++created;
        return sys::kernel.pthread_create(arguments...);
    }};
    ThreadGroup group;
    Count done;
    const auto before = thread_count();
    run(group, [&] { done.increment(); });
    REQUIRE(done.reaches(1));
    // The job has ended; its thread may need another moment until it waits.
    for (int i = 2; i <= 200; ++i) {
        run(group, [&] { done.increment(); });
        REQUIRE(done.reaches(i));
    }
    CHECK(created < 200);
    CHECK(thread_count() - before == created);
    group.close();
    group.join();
    CHECK(threads_become(before));
}

TEST_CASE("a job that no thread can be had for stays the caller's") {
    ThreadGroup group;
    Count ran;
    const bool daemon = GENERATE(false, true);
    std::unique_ptr<Job> job = std::make_unique<FunctionJob>([&] { ran.increment(); }, daemon);
    const Job* same = job.get();
    {
        const Scripted<&Calls::pthread_create> create{[](auto...) { return EAGAIN; }};
        CHECK(error_of([&] { group.run(job); }) == EAGAIN);
        CHECK_THAT(text_of([&] { group.run(job); }),
                   Catch::Matchers::ContainsSubstring("create a thread"));
    }
    CHECK(job.get() == same);
    CHECK(ran.now() == 0);
    CHECK_FALSE(group.has_daemons());
    group.run(job);
    CHECK(job == nullptr);
    CHECK(ran.reaches(1));
    group.close();
    group.join();
}

TEST_CASE("join waits for jobs that run, and no thread is left") {
    const auto before = thread_count();
    Count done;
    {
        ThreadGroup group;
        for (int i = 0; i < 20; ++i) {
            run(group, [&] {
                std::this_thread::sleep_for(5ms);
                done.increment();
            });
        }
    }  // the destructor closes and joins
    CHECK(done.now() == 20);
    CHECK(threads_become(before));
}

TEST_CASE("a job is destroyed where it ran, before the group is joined") {
    auto shared = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = shared;
    ThreadGroup group;
    run(group, [kept = std::move(shared)] {});
    group.close();
    group.join();
    CHECK(watched.expired());
}

TEST_CASE("closing and joining twice does nothing more, and an empty group is joined at once") {
    ThreadGroup group;
    group.close();
    group.join();
    group.close();
    group.join();
    CHECK_FALSE(group.has_daemons());
}

TEST_CASE("a daemon's job is not waited for, and outlives its group") {
    const auto before = thread_count();
    auto leave = std::make_shared<Count>();
    auto done = std::make_shared<Count>();
    {
        ThreadGroup group;
        Count begun;
        run(
            group,
            [&begun, leave, done] {
                begun.increment();
                leave->reaches(1);
                done->increment();
            },
            true);
        REQUIRE(begun.reaches(1));
        CHECK(group.has_daemons());
        group.close();
        group.join();
        CHECK(group.has_daemons());
    }
    CHECK(done->now() == 0);
    leave->increment();
    CHECK(done->reaches(1));
    CHECK(threads_become(before));
}

TEST_CASE("a daemon's thread serves an ordinary job later, which is waited for") {
    ThreadGroup group;
    Count done;
    Count slow;
    run(
        group, [&] { done.increment(); }, true);
    REQUIRE(done.reaches(1));
    CHECK(eventually([&] { return !group.has_daemons(); }));
    {
        // No new thread: the daemon's must do.
        const Scripted<&Calls::pthread_create> create{[](auto...) { return EAGAIN; }};
        run(group, [&] {
            std::this_thread::sleep_for(10ms);
            slow.increment();
        });
    }
    CHECK_FALSE(group.has_daemons());
    group.close();
    group.join();
    CHECK(slow.now() == 1);
}

TEST_CASE("many callers and many short jobs") {
    const auto before = thread_count();
    Count done;
    {
        ThreadGroup group;
        {
            std::vector<std::jthread> callers;
            for (int caller = 0; caller < 4; ++caller) {
                callers.emplace_back([&] {
                    for (int i = 0; i < 250; ++i)
                        run(
                            group, [&] { done.increment(); }, i % 3 == 0);
                });
            }
        }
        CHECK(done.reaches(1000));
    }
    CHECK(done.now() == 1000);
    CHECK(threads_become(before));
}
