// SPDX-License-Identifier: MIT
// Prints detail::Lifecycle as a table in C, for server.pml: each state that events can lead to, and
// for each event the next state and the actions. So what is checked is the code and no copy of it.
#include "server/lifecycle.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace socketserver::detail;
using Action = Lifecycle::Action;
using Event = Lifecycle::Event;
using Kind = Lifecycle::Event::Kind;

/// In the order of the numbers that server.pml gives them.
enum class Happening : unsigned char {
    long_drain,     ///< its time is longer than clients are waited for
    short_drain,    ///< its time is shorter
    endless_drain,  ///< has no time
    close,
    deadline,  ///< the time that deadline() says has come
    loop_turned,
    queue_empty,
    serving_ended,
    serving_stopped,  ///< has ended while requests remain
    count
};
constexpr auto happenings = static_cast<std::size_t>(Happening::count);
constexpr std::array actions{
    Action::end_idle_input, Action::end_fresh_input, Action::cancel_requests,
    Action::stop_serving,   Action::let_go,          Action::refuse_newcomers,
    Action::policy_drain,   Action::policy_cancel,   Action::policy_kill};

struct State {
    Lifecycle life;
    TimePoint now = TimePoint{} + 1h;

    friend bool operator==(const State&, const State&) = default;
};

std::pair<State, unsigned> after(State state, Happening what) {
    Event event;
    switch (what) {
        case Happening::long_drain:
            event = {Kind::drain_asked, {.until = state.now + 10 * Lifecycle::patience}};
            break;
        case Happening::short_drain:
            event = {Kind::drain_asked, {.until = state.now + Lifecycle::patience / 10}};
            break;
        case Happening::endless_drain:
            event = {Kind::drain_asked, {}};
            break;
        case Happening::close:
            event.kind = Kind::close_asked;
            break;
        case Happening::deadline:
            if (state.life.deadline() == never) return {state, 0};
            state.now = state.life.deadline();
            break;
        case Happening::loop_turned:
            event.kind = Kind::loop_turned;
            break;
        case Happening::queue_empty:
            event.kind = Kind::queue_empty;
            break;
        case Happening::serving_ended:
        case Happening::serving_stopped:
            event = {Kind::serving_ended, {}, what == Happening::serving_stopped};
            break;
        case Happening::count:
            break;
    }
    const auto [next, taken] = state.life.step(event, state.now);
    unsigned bits = 0;
    for (std::size_t i = 0; i < actions.size(); ++i) bits |= unsigned{taken.has(actions[i])} << i;
    return {{next, state.now}, bits};
}

struct Row {
    std::array<std::size_t, happenings> next{};
    std::array<unsigned, happenings> taken{};
};

/// What can be seen of a state without an event.
std::array<unsigned, 5> seen(const Lifecycle& life) {
    const auto& view = life.view();
    return {static_cast<unsigned>(view.phase), unsigned{view.queue_is_served},
            unsigned{view.has_cancelled}, unsigned{view.is_closed},
            unsigned{life.deadline() != never}};
}

std::vector<State> states{State{}};

std::vector<Row> explore() {
    std::vector<Row> rows;
    for (std::size_t at = 0; at < states.size(); ++at) {
        Row row;
        for (std::size_t each = 0; each < happenings; ++each) {
            const auto [next, bits] = after(states[at], static_cast<Happening>(each));
            std::size_t number = 0;
            while (number < states.size() && !(states[number] == next)) ++number;
            if (number == states.size()) states.push_back(next);
            row.next[each] = number;
            row.taken[each] = bits;
        }
        rows.push_back(row);
    }
    return rows;
}

/// The same behaviour in fewer states: those that no sequence of events can tell apart are one.
/// Returns which class each state is in.
std::vector<std::size_t> merge(const std::vector<Row>& rows) {
    std::vector<std::size_t> classes(rows.size(), 0);
    for (std::size_t count = 0;;) {
        std::map<std::vector<std::size_t>, std::size_t> known;
        std::vector<std::size_t> finer(rows.size());
        for (std::size_t at = 0; at < rows.size(); ++at) {
            std::vector<std::size_t> key{classes[at]};
            for (const unsigned each : seen(states[at].life)) key.push_back(each);
            for (std::size_t each = 0; each < happenings; ++each) {
                key.push_back(classes[rows[at].next[each]]);
                key.push_back(rows[at].taken[each]);
            }
            finer[at] = known.emplace(std::move(key), known.size()).first->second;
        }
        classes = std::move(finer);
        if (known.size() == count) return classes;
        count = known.size();
    }
}

}  // namespace

int main() {
    const std::vector<Row> rows = explore();
    const std::vector<std::size_t> classes = merge(rows);
    std::vector<std::size_t> first;  // of each class
    for (std::size_t at = 0; at < rows.size(); ++at) {
        if (classes[at] == first.size()) first.push_back(at);
    }
    if (first.size() > 255) return 1;  // server.pml keeps the state in a byte
    std::printf("/* %zu states, of which %zu behave differently */\n", rows.size(), first.size());
    std::printf("static const unsigned char next_of[][%zu] = {\n", happenings);
    for (const std::size_t at : first) {
        std::fputs("  {", stdout);
        for (const std::size_t next : rows[at].next) std::printf("%zu,", classes[next]);
        std::puts("},");
    }
    std::printf("};\nstatic const unsigned short actions_of[][%zu] = {\n", happenings);
    for (const std::size_t at : first) {
        std::fputs("  {", stdout);
        for (const unsigned taken : rows[at].taken) std::printf("%u,", taken);
        std::puts("},");
    }
    std::puts(
        "};\n/* phase, queue_is_served, has_cancelled, is_closed, whether there is a deadline */");
    std::puts("static const unsigned char seen_of[][5] = {");
    for (const std::size_t at : first) {
        std::fputs("  {", stdout);
        for (const unsigned each : seen(states[at].life)) std::printf("%u,", each);
        std::puts("},");
    }
    std::puts("};");
}
