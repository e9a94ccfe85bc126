// SPDX-License-Identifier: MIT
// The life of a server, without a server: every sequence of events up to a length.
#include "server/lifecycle.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace {

using namespace std::chrono_literals;
using namespace socketserver::detail;
using socketserver::tests::under_asan;
using socketserver::tests::under_tsan;
using Action = Lifecycle::Action;
using Actions = Lifecycle::Actions;
using Event = Lifecycle::Event;
using Kind = Lifecycle::Event::Kind;
using Phase = Lifecycle::Phase;

constexpr TimePoint start = TimePoint{} + 1h;
constexpr auto handshake_time = 100ms;

constexpr std::array all_actions{
    Action::end_idle_input, Action::end_fresh_input, Action::cancel_requests,
    Action::stop_serving,   Action::let_go,          Action::refuse_newcomers,
    Action::policy_drain,   Action::policy_cancel,   Action::policy_kill};

Event drain_until(TimePoint until) { return {Kind::drain_asked, {.until = until}}; }

/// What may happen next, in any order.
enum class Happening : unsigned char {
    short_drain,  ///< shorter than clients are waited for
    long_drain,
    leaving_drain,  ///< without end; leaves the queue to another process
    close,
    just_before_deadline,
    deadline,
    loop_turns,
    queue_empty,
    queue_empty_after_handshakes,
    all_ended,
    stopped,   ///< while requests remain
    accepted,  ///< a request; one more that the loop had begun to accept when they were cancelled
};

constexpr std::array names{"short drain",
                           "long drain",
                           "leaving drain",
                           "close",
                           "just before deadline",
                           "deadline",
                           "loop turns",
                           "queue empty",
                           "queue empty after handshakes",
                           "all ended",
                           "stopped",
                           "accepted"};

/// A server of which only the life is real, and what has been seen of it so far.
struct World {
    Lifecycle life;
    TimePoint now = start;
    TimePoint asked_until = never;  // the least of all drains
    bool asked_to_drain = false;
    bool asked_to_leave = false;
    TimePoint handshakes_until{};
    std::array<TimePoint, 7> entered{start};  // each phase; TimePoint{}: not yet
    std::array<int, all_actions.size()> taken{};
    int live_requests = 0;
    int cancelled_requests = 0;  // of them
    bool accepted_late = false;

    int times(Action action) const { return taken[static_cast<std::size_t>(action)]; }
    bool has_entered(Phase phase) const { return when(phase) != TimePoint{}; }
    TimePoint when(Phase phase) const { return entered[static_cast<std::size_t>(phase)]; }
    friend bool operator==(const World&, const World&) = default;
};

/// The event of a happening, whose effect on the world it has.
Event begin(World& world, Happening happening) {
    const auto drain = [&](TimePoint until, bool leaves) {
        DrainOrder order{until, leaves ? TimePoint{} : world.now + handshake_time, leaves};
        if (!world.life.view().is_closed) {
            if (!world.asked_to_drain) world.handshakes_until = order.handshakes_until;
            world.asked_to_drain = true;
            world.asked_to_leave = world.asked_to_leave || leaves;
            world.asked_until = std::min(world.asked_until, until);
        }
        return Event{Kind::drain_asked, order};
    };
    switch (happening) {
        case Happening::short_drain:
            return drain(world.now + Lifecycle::patience / 2, false);
        case Happening::long_drain:
            return drain(world.now + Lifecycle::patience * 2, false);
        case Happening::leaving_drain:
            return drain(never, true);
        case Happening::close:
            return {Kind::close_asked};
        case Happening::just_before_deadline:
            if (world.life.deadline() != never) {
                world.now = std::max(world.now, world.life.deadline() - 1ns);
            }
            return {Kind::time_passed};
        case Happening::deadline:
            if (world.life.deadline() != never) {
                world.now = std::max(world.now, world.life.deadline());
            }
            return {Kind::time_passed};
        case Happening::loop_turns:
            return {Kind::loop_turned};
        case Happening::queue_empty:
            return {Kind::queue_empty};
        case Happening::queue_empty_after_handshakes:
            world.now = std::max(world.now, world.handshakes_until);
            return {Kind::queue_empty};
        case Happening::all_ended:
            world.live_requests = world.cancelled_requests = 0;
            return {Kind::serving_ended};
        case Happening::stopped:
            world.live_requests = std::max(world.live_requests, 1);
            return {.kind = Kind::serving_ended, .requests_remain = true};
        case Happening::accepted: {
            const auto& view = world.life.view();
            if (view.phase == Phase::closed || view.queue_is_served) return {};
            if (view.has_cancelled) {
                if (view.phase != Phase::cancelling || world.accepted_late) return {};
                world.accepted_late = true;
            }
            world.live_requests = std::min(world.live_requests + 1, 2);
            return {};
        }
    }
    return {};
}

/// Takes the step, and the actions: what would become of the requests.
void step(World& world, const Event& event) {
    const auto [next, actions] = world.life.step(event, world.now);
    for (const Action action : all_actions) {
        if (actions.has(action)) ++world.taken[static_cast<std::size_t>(action)];
    }
    if (actions.has(Action::cancel_requests)) world.cancelled_requests = world.live_requests;
    // Time leads through each phase on the way, anything else to the last one at once.
    const bool by_time = event.kind == Kind::time_passed || event.kind == Kind::drain_asked;
    const auto last = static_cast<std::size_t>(next.phase());
    auto phase = static_cast<std::size_t>(world.life.phase());
    while (phase != last) {
        phase = by_time ? phase + 1 : last;
        world.entered[phase] = world.now;
    }
    world.life = next;
}

/// @name What must be true after each step. Each returns what is not, or null.
/// @{

const char* goes_forward(const World& before, const World& after, const Event& event) {
    const auto& was = before.life.view();
    const auto& is = after.life.view();
    if (is.phase < was.phase) return "a phase came back";
    if (is.queue_is_served < was.queue_is_served) return "a served queue came back";
    if (is.has_cancelled < was.has_cancelled) return "who was refused is served again";
    if (is.is_closed < was.is_closed) return "a closed server was open again";
    if (is.phase == was.phase && after.life.deadline() > before.life.deadline()) {
        return "a deadline grew";
    }
    if (after.life.order().until > before.life.order().until) return "the time of a drain grew";
    const bool nothing = after.life == before.life && after.taken == before.taken;
    if (was.phase == Phase::closed && !nothing) return "something happened after the end";
    if (was.phase == Phase::open && event.kind != Kind::drain_asked &&
        event.kind != Kind::close_asked && !nothing) {
        return "an open server was changed by what is no drain and no close";
    }
    if (event.kind == Kind::drain_asked && was.is_closed && is.phase == was.phase && !nothing) {
        return "a closed server was drained";
    }
    return nullptr;
}

const char* comes_in_time(const World& before, const World& after, const Event& event) {
    if (event.kind == Kind::drain_asked && !before.life.view().is_closed &&
        after.life.phase() == Phase::open) {
        return "a drain did not begin";
    }
    if (event.kind == Kind::close_asked &&
        (!after.life.view().is_closed || after.life.phase() == Phase::open)) {
        return "a close did not close";
    }
    if (event.kind == Kind::serving_ended && before.asked_to_drain &&
        after.life.phase() != Phase::closed) {
        return "a drain went on when nobody served";
    }
    if (event.kind == Kind::time_passed && after.now >= after.life.deadline()) {
        return "a deadline was missed";
    }
    if (after.asked_to_drain && after.life.order().until != after.asked_until) {
        return "a drain with less time did not have its way";
    }
    const bool by_time = event.kind != Kind::serving_ended && event.kind != Kind::close_asked;
    const auto enters = [&](Phase phase) {
        return by_time && after.has_entered(phase) && !before.has_entered(phase);
    };
    const TimePoint patience_until = after.when(Phase::draining) + Lifecycle::patience;
    if (enters(Phase::impatient) && after.now < std::min(patience_until, after.asked_until)) {
        return "a client that had not begun was not waited for";
    }
    if (enters(Phase::cancelling) && after.now < after.asked_until) {
        return "requests were cancelled before the time was over";
    }
    for (const Phase phase : {Phase::killing, Phase::stopping, Phase::closed}) {
        const auto previous = static_cast<Phase>(static_cast<int>(phase) - 1);
        if (enters(phase) && after.now < after.when(previous) + Lifecycle::grace) {
            return "there was less time than the grace";
        }
    }
    return nullptr;
}

const char* acts_in_order(const World& before, const World& after, const Event&) {
    for (const Action once :
         {Action::end_idle_input, Action::end_fresh_input, Action::stop_serving, Action::let_go,
          Action::refuse_newcomers, Action::policy_cancel, Action::policy_kill}) {
        if (after.times(once) > 1) return "an action was taken twice";
    }
    if ((after.times(Action::end_idle_input) == 1) != after.asked_to_drain)
        return "input was not ended, or without a drain";
    if ((after.times(Action::end_fresh_input) == 1) != after.has_entered(Phase::impatient)) {
        return "clients that have not begun are waited for, or not";
    }
    if (after.times(Action::policy_cancel) + after.times(Action::policy_kill) > 0 &&
        after.times(Action::cancel_requests) == 0) {
        return "the policy was to cancel before the requests were cancelled";
    }
    const bool now_cancels =
        after.times(Action::policy_cancel) > before.times(Action::policy_cancel);
    if (now_cancels && after.times(Action::policy_kill) > 0) return "a cancel came after the kill";
    if (after.life.view().has_cancelled && after.times(Action::end_fresh_input) == 0) {
        return "requests were cancelled whose clients might still begin";
    }
    return nullptr;
}

const char* tells_policy(const World& before, const World& after, const Event& event) {
    const int told = after.times(Action::policy_drain);
    if (told > (after.has_entered(Phase::impatient) ? 2 : 1)) return "a drain was announced twice";
    if (event.kind != Kind::loop_turned) {
        const bool ends = event.kind == Kind::serving_ended && event.requests_remain;
        if (told != before.times(Action::policy_drain) ||
            after.times(Action::policy_cancel) != before.times(Action::policy_cancel) ||
            (!ends && after.times(Action::policy_kill) != before.times(Action::policy_kill))) {
            return "the policy was told in another thread than its own";
        }
        return nullptr;
    }
    const Phase phase = after.life.phase();
    if (phase == Phase::open || phase == Phase::closed) return nullptr;
    if (told == 0) return "the policy does not know of the drain";
    const bool was_impatient = before.life.phase() >= Phase::impatient;
    const int cancels = after.times(Action::policy_cancel);
    const int kills = after.times(Action::policy_kill);
    if (!was_impatient && told != 1) return "an announcement too early";
    if (phase < Phase::cancelling && cancels + kills > 0) return "a cancel too early";
    if (phase == Phase::cancelling && (cancels != 1 || kills != 0)) return "no cancel in time";
    if (phase > Phase::cancelling && kills != 1) return "no kill in time";
    return nullptr;
}

const char* loses_nobody(const World& before, const World& after, const Event& event) {
    if (after.life.view().queue_is_served && !before.life.view().queue_is_served &&
        !after.asked_to_leave) {
        if (event.kind != Kind::queue_empty) return "a queue was given up in which somebody was";
        if (after.now < after.handshakes_until) return "a handshake was not waited for";
        if (after.times(Action::refuse_newcomers) != 1) return "newcomers are not refused";
    }
    if (event.kind == Kind::queue_empty && after.life.view().is_draining() &&
        after.now >= after.handshakes_until && !after.life.view().queue_is_served) {
        return "an empty queue was waited for";
    }
    if (after.asked_to_leave && !before.asked_to_leave && !after.life.view().queue_is_served) {
        return "the queue of another process was served";
    }
    if (after.asked_to_leave &&
        after.times(Action::refuse_newcomers) > before.times(Action::refuse_newcomers)) {
        return "the clients of another process were refused";
    }
    const bool ends = after.life.phase() == Phase::closed && before.life.phase() != Phase::closed;
    if (!ends || !after.asked_to_drain) return nullptr;
    if (after.cancelled_requests != after.live_requests) {
        return "a request was neither waited for nor cancelled";
    }
    const bool nobody_serves = event.kind == Kind::serving_ended;
    if ((after.times(Action::let_go) == 1) != nobody_serves)
        return "the socket was kept, or taken from who serves";
    if (!nobody_serves && after.times(Action::stop_serving) == 0) return "the loop goes on";
    if (after.live_requests > 0 && nobody_serves && after.times(Action::policy_kill) == 0) {
        return "a child was neither waited for nor killed";
    }
    return nullptr;
}

/// Whatever has happened: if nothing else does, a drain is over as soon as drain() promises.
const char* ends_by_itself(World world) {
    if (!world.asked_to_drain || world.asked_until == never) return nullptr;
    for (int i = 0; i < 6 && world.life.phase() != Phase::closed; ++i) {
        step(world, begin(world, Happening::deadline));
    }
    if (world.life.phase() != Phase::closed) return "a drain does not end";
    const TimePoint end = world.when(Phase::closed);
    return end > std::max(world.asked_until, world.when(Phase::cancelling)) + 2s
               ? "a drain ends too late"
               : nullptr;
}
/// @}

/// Goes through all sequences of happenings that are no longer than `length`.
class Walk {
  public:
    explicit Walk(std::size_t length) : length_{length} { follow({}); }

    /// Empty if there is none: what is wrong, and the way to it.
    const std::string& fault() const { return fault_; }
    const std::array<std::size_t, 7>& steps_into_phases() const { return steps_; }

  private:
    void follow(const World& before) {
        for (std::size_t i = 0; i < names.size() && fault_.empty(); ++i) {
            path_.push_back(names[i]);
            World after = before;
            const Event event = begin(after, static_cast<Happening>(i));
            step(after, event);
            ++steps_[static_cast<std::size_t>(after.life.phase())];
            for (const auto check :
                 {goes_forward, comes_in_time, acts_in_order, tells_policy, loses_nobody}) {
                note(check(before, after, event));
            }
            note(ends_by_itself(after));
            // What follows a step that changes nothing is what would follow without it.
            if (path_.size() < length_ && !(after == before)) follow(after);
            path_.pop_back();
        }
    }

    void note(const char* fault) {
        if (fault == nullptr || !fault_.empty()) return;
        fault_ = fault;
        const char* separator = ": ";
        for (const char* name : path_) {
            fault_ += separator;
            fault_ += name;
            separator = ", ";
        }
    }

    std::size_t length_;
    std::vector<const char*> path_;
    std::string fault_;
    std::array<std::size_t, 7> steps_{};
};

}  // namespace

TEST_CASE("whatever happens in whichever order, a server ends as it should") {
    constexpr std::size_t longest = under_asan || under_tsan ? 6 : 7;
    for (std::size_t length = 1; length <= longest; ++length) {
        const Walk walk{length};
        INFO(walk.fault());
        REQUIRE(walk.fault().empty());
        if (length < longest) continue;
        // Otherwise the walk has not been everywhere.
        for (const std::size_t steps : walk.steps_into_phases()) CHECK(steps > 100);
    }
}

TEST_CASE("a drain that nothing ends goes through every phase") {
    World world;
    step(world, drain_until(start + 5s));
    const std::vector<TimePoint> deadlines{start + 1s, start + 5s,         start + 5s + 500ms,
                                           start + 6s, start + 6s + 500ms, never};
    for (const TimePoint deadline : deadlines) {
        CHECK(world.life.deadline() == deadline);
        step(world, begin(world, Happening::deadline));
    }
    CHECK(world.life.phase() == Phase::closed);
}

TEST_CASE("a drain that is looked at late does all that is due, and gives the grace from then on") {
    World world;
    step(world, drain_until(start + 2s));
    world.now = start + 1h;
    const auto [next, actions] = world.life.step({Kind::time_passed}, world.now);
    CHECK(next.phase() == Phase::cancelling);
    CHECK(actions.has(Action::end_fresh_input));
    CHECK(actions.has(Action::cancel_requests));
    CHECK(next.deadline() == world.now + Lifecycle::grace);
}

TEST_CASE("a loop that was held up tells the policy the last word only") {
    World world;
    step(world, drain_until(start));
    step(world, begin(world, Happening::deadline));
    CHECK(world.life.phase() == Phase::killing);
    const Actions actions = world.life.step({Kind::loop_turned}, world.now).actions;
    CHECK(actions.has(Action::policy_drain));
    CHECK_FALSE(actions.has(Action::policy_cancel));
    CHECK(actions.has(Action::policy_kill));
}

TEST_CASE("a drain without end waits for ever") {
    World world;
    step(world, drain_until(never));
    step(world, begin(world, Happening::deadline));
    CHECK(world.life.phase() == Phase::impatient);
    CHECK(world.life.deadline() == never);
}
