// SPDX-License-Identifier: MIT
#include "policy/fibers/timer_queue.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/replaced_new.hpp"

using socketserver::detail::TimePoint;
using socketserver::detail::Timer;
using socketserver::detail::TimerQueue;

namespace {

bool no_memory_left = false;

TimePoint at(int time) { return TimePoint{std::chrono::nanoseconds{time}}; }

/// Knows what the queue should believe: its time, if it is in there.
struct KnownTimer : Timer {
    std::optional<int> time;
};

bool is_before(const KnownTimer& a, const KnownTimer& b) {
    return a.time && (!b.time || *a.time < *b.time);
}

KnownTimer& first_of(const TimerQueue& queue) { return static_cast<KnownTimer&>(queue.first()); }

}  // namespace

void* socketserver::tests::allocate(std::size_t size) noexcept {
    return no_memory_left ? nullptr : std::malloc(size);
}

TEST_CASE("a later time leaves a timer where it is, an earlier one moves it") {
    TimerQueue queue;
    queue.make_room(1);
    Timer timer;
    queue.ensure(timer, at(10));
    queue.ensure(timer, at(20));
    CHECK(queue.earliest() == at(10));
    queue.ensure(timer, at(5));
    CHECK(queue.earliest() == at(5));
    CHECK(&queue.first() == &timer);
    queue.remove(timer);
    CHECK(queue.empty());
    queue.remove(timer);  // nothing to remove
}

TEST_CASE("timers expire in the order of their times") {
    std::mt19937 random{GENERATE(1U, 2U, 3U)};
    const auto up_to = [&](int most) { return std::uniform_int_distribution{0, most}(random); };
    std::array<KnownTimer, 50> timers;
    TimerQueue queue;
    queue.make_room(timers.size());
    std::vector<bool> held;
    for (int step = 0; step < 5000; ++step) {
        KnownTimer& timer = timers[random() % timers.size()];
        const int time = up_to(1000);
        switch (up_to(3)) {
            case 0:
                queue.remove(timer);
                timer.time.reset();
                break;
            case 1:
                if (queue.empty()) break;
                first_of(queue).time = *first_of(queue).time + time;
                queue.put_off_first(at(*first_of(queue).time));
                break;
            default:
                queue.ensure(timer, at(time));
                timer.time = std::min(time, timer.time.value_or(time));
        }
        const auto earliest = std::min_element(timers.begin(), timers.end(), is_before);
        held.push_back(queue.empty() != earliest->time.has_value());
        if (queue.empty()) continue;
        held.push_back(first_of(queue).time == earliest->time);
        held.push_back(queue.earliest() == at(*earliest->time));
    }
    CHECK(std::count(held.begin(), held.end(), false) == 0);
}

TEST_CASE("with room for it, a timer needs no memory") {
    std::array<Timer, 100> timers;
    TimerQueue queue;
    for (std::size_t room = 1; room <= timers.size(); ++room) queue.make_room(room);
    int time = 100;
    no_memory_left = true;
    for (Timer& timer : timers) queue.ensure(timer, at(time--));
    no_memory_left = false;
    CHECK(&queue.first() == &timers.back());
    CHECK(queue.earliest() == at(1));
}

TEST_CASE("room that cannot be had is an error, and what there is stays") {
    TimerQueue queue;
    Timer timer;
    queue.make_room(1);
    queue.ensure(timer, at(1));
    bool refused = false;
    no_memory_left = true;
    try {
        queue.make_room(1000);
    } catch (const std::bad_alloc&) {
        refused = true;
    }
    no_memory_left = false;
    CHECK(refused);
    CHECK(queue.earliest() == at(1));
}
