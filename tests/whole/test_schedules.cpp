// SPDX-License-Identifier: MIT
// What threads do without a lock, or around one of their own, in every order of their steps.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/fork_lock.hpp"
#include "os/mailbox.hpp"
#include "os/shared_words.hpp"
#include "os/waiting_thread.hpp"
#include "support/catch.hpp"
#include "support/interleavings.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Scenario = Interleavings::Scenario;
template <class T>
using Atomic = ModelPlatform::Atomic<T>;

bool tries_all() { return std::getenv("SOCKETSERVER_TEST_ALL") != nullptr; }

/// So many preemptions find nearly all faults, in a time that allows them in each run of the tests.
constexpr int usual_preemptions = 3;

/// With SOCKETSERVER_TEST_ALL in the environment one preemption more.
void check_each_order(const std::function<Scenario()>& make) {
    Interleavings orders{usual_preemptions + (tries_all() ? 1 : 0)};
    CHECK(orders.explore(make) == "");
    CHECK(orders.orders() > 100);
}

/// As a process has it whose parent was forked while another thread of it held the lock.
struct InheritedLock : detail::ForkLock<ModelPlatform> {
    InheritedLock() : ForkLock{1, ModelPlatform::process() + 1} {}
};

template <class Lock>
struct Forks {
    Lock lock;
    Atomic<int> inside{0};

    void read() {
        lock.forbid_fork();
        ++inside;
        --inside;
        lock.allow_fork();
    }
    void fork() {
        lock.begin_fork();
        Interleavings::require(inside == 0, "a fork while it is forbidden");
        lock.end_fork();
    }
    /// In the end the lock is as new: neither a reader nor a fork waits.
    void use_alone() {
        fork();
        read();
    }
};

/// @param plan a letter for each thread: 'r' reads, 'f' forks, 'R' and 'F' do it twice.
template <class Lock>
Scenario forks(const std::string& plan) {
    auto state = std::make_shared<Forks<Lock>>();
    Scenario scenario;
    for (const char letter : plan) {
        scenario.threads.emplace_back([state, letter] {
            const bool reads = letter == 'r' || letter == 'R';
            const int times = letter == 'r' || letter == 'f' ? 1 : 2;
            for (int i = 0; i < times; ++i) reads ? state->read() : state->fork();
        });
    }
    scenario.end = [state] { state->use_alone(); };
    return scenario;
}

}  // namespace

TEST_CASE("the scheduler finds what goes wrong in one order only") {
    Interleavings orders{usual_preemptions};
    SECTION("two threads in one section") {
        struct Naive {
            Atomic<bool> is_taken{false};
            Atomic<int> inside{0};
        };
        CHECK_THAT(orders.explore([] {
            auto state = std::make_shared<Naive>();
            const auto enter = [state] {
                if (state->is_taken) return;
                state->is_taken = true;
                ++state->inside;
                Interleavings::require(state->inside == 1, "two at once");
                --state->inside;
                state->is_taken = false;
            };
            return Scenario{.threads = {enter, enter}};
        }),
                   Catch::Matchers::StartsWith("two at once; the threads"));
    }
    SECTION("a wake-up that is lost") {
        struct Lost {
            Atomic<bool> has_work{false};
            ModelPlatform::Waker waker;
            Atomic<bool> sleeps{false};
        };
        CHECK_THAT(orders.explore([] {
            auto state = std::make_shared<Lost>();
            return Scenario{.threads = {[state] {
                                            if (state->has_work) return;
                                            state->sleeps = true;  // and no second look
                                            ModelPlatform::wait_readable(state->waker.fileno());
                                        },
                                        [state] {
                                            state->has_work = true;
                                            if (state->sleeps) state->waker.wake();
                                        }}};
        }),
                   Catch::Matchers::StartsWith("all threads wait for ever"));
    }
    SECTION("a loop without an end") {
        CHECK_THAT(orders.explore([] {
            auto state = std::make_shared<Atomic<int>>(0);
            return Scenario{.threads = {[state] {
                                while (*state == 0) {
                                }
                            }}};
        }),
                   Catch::Matchers::StartsWith("the threads do not end"));
    }
    SECTION("an update that is lost, seen in the end") {
        CHECK_THAT(orders.explore([] {
            auto count = std::make_shared<Atomic<int>>(0);
            const auto add = [count] { *count = *count + 1; };
            return Scenario{.threads = {add, add},
                            .end = [count] { Interleavings::require(*count == 2, "one is lost"); }};
        }),
                   Catch::Matchers::StartsWith("one is lost"));
    }
}

TEST_CASE("the scheduler tries every order, and each once") {
    // Two threads of two steps each: the choice who begins, and after each step who goes on.
    Interleavings orders{100};
    std::vector<std::string> seen;
    CHECK(orders.explore([&] {
        auto order = std::make_shared<std::string>();
        auto value = std::make_shared<Atomic<int>>(0);
        const auto mark = [order, value](const char* name) {
            return [order, value, name] {
                ++*value;
                *order += name;
                ++*value;
                *order += name;
            };
        };
        return Scenario{.threads = {mark("a"), mark("b")},
                        .end = [&seen, order] { seen.push_back(*order); }};
    }) == "");
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    CHECK(seen == std::vector<std::string>{"aabb", "abab", "abba", "baab", "baba", "bbaa"});
}

TEST_CASE("no thread forks while another one forbids it, in every order") {
    const std::string plan = GENERATE("rf", "RF", "rrf", "rff", "rRf");
    CAPTURE(plan);
    SECTION("in a process that nobody has forked") {
        check_each_order([&] { return forks<detail::ForkLock<ModelPlatform>>(plan); });
    }
    SECTION("in a child that was forked while the lock was held") {
        check_each_order([&] { return forks<InheritedLock>(plan); });
    }
}

TEST_CASE("a thread that waits for a task gets it or ends, in every order") {
    struct Group {
        ModelPlatform::Mutex mutex;
        detail::Sleep<ModelPlatform> sleep;
        bool is_waiting = false;  // these two are guarded
        bool has_task = false;
        bool was_given = false;
        bool was_served = false;

        // As ThreadGroup::State::wait_for_task() does it.
        void wait_for_task() {
            mutex.lock();
            is_waiting = true;
            mutex.unlock();
            if (!sleep.sleep_until({})) {
                mutex.lock();
                if (is_waiting) {
                    is_waiting = false;
                    return mutex.unlock();
                }
                mutex.unlock();
                Interleavings::require(
                    sleep.sleep_until(std::chrono::steady_clock::time_point::max()),
                    "a sleep without an end has ended");
            }
            Interleavings::require(has_task, "woken without a task");
            was_served = true;
        }
        void give() {
            mutex.lock();
            const bool is_taken = std::exchange(is_waiting, false);
            if (is_taken) has_task = was_given = true;
            mutex.unlock();
            if (is_taken) sleep.wake();
        }
    };
    check_each_order([] {
        auto group = std::make_shared<Group>();
        return Scenario{.threads = {[group] { group->wait_for_task(); }, [group] { group->give(); },
                                    [group] { group->give(); }},
                        .end = [group] {
                            Interleavings::require(group->was_given == group->was_served,
                                                   "a task is lost");
                        }};
    });
}

TEST_CASE("shared words are read whole, and the last ones by all, in every order") {
    using Words = detail::SharedWords<2, ModelPlatform>;
    struct Reader {
        std::uint64_t seen = 0;
        std::uint64_t value = 0;

        /// As ContextState::ticket_keys() does it.
        void follow(const Words& words) {
            if (seen == words.version()) return;
            std::uint64_t version = 0;
            const auto read = words.read(version);
            if (!read || read->empty()) return;
            Interleavings::require(read->size() == 2 && read->at(0) == read->at(1),
                                   "words of two writers");
            seen = version;
            value = read->at(0);
        }
        void write(Words& words, std::uint64_t number) {
            const std::vector<std::uint64_t> both{number, number};
            seen = words.write(both);
            value = number;
        }
    };
    struct State {
        Words words;
        std::vector<Reader> processes{3};
    };
    check_each_order([] {
        auto state = std::make_shared<State>();
        const auto write = [state](std::size_t index) {
            return [state, index] { state->processes[index].write(state->words, index + 1); };
        };
        return Scenario{.threads = {write(0), write(1),
                                    [state] {
                                        for (int i = 0; i < 2; ++i)
                                            state->processes[2].follow(state->words);
                                    }},
                        .end = [state] {
                            for (Reader& each : state->processes) each.follow(state->words);
                            const std::uint64_t last = state->processes[2].value;
                            Interleavings::require(last != 0, "nothing was read");
                            for (const Reader& each : state->processes) {
                                Interleavings::require(each.value == last,
                                                       "one process has other words");
                            }
                        }};
    });
}

TEST_CASE("shared words whose writer dies anywhere are not read, and replaced by the next one") {
    using Words = detail::SharedWords<2, ModelPlatform>;
    struct State {
        Words words;
        std::vector<std::uint64_t> read;

        void write(std::uint64_t number) {
            const std::vector<std::uint64_t> both{number, number};
            words.write(both);
        }
        void look() {
            std::uint64_t version = 0;
            if (const auto found = words.read(version); found && !found->empty()) {
                Interleavings::require(found->size() == 2 && found->at(0) == found->at(1),
                                       "words of two writers");
                read.push_back(found->at(0));
            }
        }
    };
    const int steps = GENERATE(range(1, 10));
    CAPTURE(steps);
    check_each_order([&] {
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state, steps] {
                                        Interleavings::die_in(steps);
                                        state->write(1);
                                    },
                                    [state] { state->write(2); }, [state] { state->look(); }},
                        .end = [state] {
                            state->write(3);
                            state->look();
                            Interleavings::require(!state->read.empty() && state->read.back() == 3,
                                                   "nobody can write any more");
                        }};
    });
}

TEST_CASE("mail is never left to a reader who sleeps, in every order") {
    using Mailbox = detail::Mailbox<int, ModelPlatform>;
    struct State {
        Mailbox mailbox;
        int received = 0;

        // As the scheduler of the fibers does it.
        void read(int expected) {
            while (received < expected) {
                if (mailbox.may_sleep()) ModelPlatform::wait_readable(mailbox.fileno());
                mailbox.is_awake();
                if (!mailbox.has_mail()) continue;
                int mail = 0;
                mailbox.take(mail);
                received += mail;
            }
        }
    };
    check_each_order([] {
        auto state = std::make_shared<State>();
        const auto send = [state] { state->mailbox.send([](int& mail) { ++mail; }); };
        return Scenario{.threads = {[state] { state->read(2); }, send, send}};
    });
}
