// SPDX-License-Identifier: MIT
#include "os/futex.hpp"

#include <fstream>
#include <string>
#include <thread>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

bool sleeps(pid_t thread) {
    std::ifstream stat{"/proc/self/task/" + std::to_string(thread) + "/stat"};
    std::string line;
    std::getline(stat, line);
    return line.find(") S ") != std::string::npos;
}

}  // namespace

TEST_CASE("futex_wait() sleeps until its time") {
    const TimeLimit limit;
    std::atomic<std::uint32_t> word{1};
    const auto until = steady_clock::now() + 1200ms;  // seconds and a part of one
    int wakes = 0;
    while (detail::futex_wait(word, 1, until)) ++wakes;
    CHECK(steady_clock::now() >= until);
    CHECK(wakes < 100);  // or it does not sleep
}

TEST_CASE("futex_wait() until the end of time sleeps until it is woken") {
    const TimeLimit limit;
    std::atomic<std::uint32_t> word{1};
    std::atomic<pid_t> thread{0};
    bool timed_out = false;
    std::thread sleeper{[&] {
        thread = ::gettid();
        while (word == 1 && !timed_out) {
            timed_out = !detail::futex_wait(word, 1, steady_clock::time_point::max());
        }
    }};
    CHECK(eventually([&] { return thread != 0 && sleeps(thread); }));
    word = 0;
    detail::futex_wake_all(word);
    sleeper.join();
    CHECK_FALSE(timed_out);
}
