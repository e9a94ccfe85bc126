// SPDX-License-Identifier: MIT
#include "server/lifecycle.hpp"

#include <algorithm>
#include <utility>

namespace socketserver::detail {

Lifecycle::Step Lifecycle::step(const Event& event, TimePoint now) const noexcept {
    Step step{*this, {}};
    if (phase() == Phase::closed) return step;
    Lifecycle& next = step.next;
    switch (event.kind) {
        case Event::Kind::drain_asked:
            next.drain(event.order, now, step.actions);
            next.pass_time(now, step.actions);
            break;
        case Event::Kind::close_asked:
            next.close();
            break;
        case Event::Kind::time_passed:
            next.pass_time(now, step.actions);
            break;
        case Event::Kind::loop_turned:
            next.tell_policy(step.actions);
            break;
        case Event::Kind::queue_empty:
            next.end_queue(now, step.actions);
            break;
        case Event::Kind::serving_ended:
            next.end_serving(event.requests_remain, step.actions);
            break;
    }
    return step;
}

TimePoint Lifecycle::deadline() const noexcept {
    switch (phase()) {
        case Phase::draining:
            return std::min(patience_until_, order_.until);
        case Phase::impatient:
            return order_.until;
        case Phase::cancelling:
        case Phase::killing:
        case Phase::stopping:
            return grace_until_;
        case Phase::open:
        case Phase::closed:
            break;
    }
    return never;
}

void Lifecycle::drain(const DrainOrder& order, TimePoint now, Actions& actions) noexcept {
    if (view_.is_closed) return;
    if (phase() == Phase::open) {
        view_.phase = Phase::draining;
        patience_until_ = now + patience;
        order_ = order;
        actions.add(Action::end_idle_input);
    }
    order_.until = std::min(order_.until, order.until);
    order_.leaves_queue = order_.leaves_queue || order.leaves_queue;
    if (order_.leaves_queue) view_.queue_is_served = true;
}

/// If a drain is under way, the phase does not change, because the drain goes on until its requests
/// have ended.
void Lifecycle::close() noexcept {
    view_.is_closed = true;
    if (phase() == Phase::open) view_.phase = Phase::closed;
}

void Lifecycle::pass_time(TimePoint now, Actions& actions) noexcept {
    while (now >= deadline()) {
        enter(static_cast<Phase>(static_cast<unsigned char>(phase()) + 1), now, actions);
    }
}

void Lifecycle::enter(Phase phase, TimePoint now, Actions& actions) noexcept {
    view_.phase = phase;
    grace_until_ = now + grace;
    switch (phase) {
        case Phase::impatient:
            actions.add(Action::end_fresh_input);
            break;
        case Phase::cancelling:
            view_.has_cancelled = true;
            actions.add(Action::cancel_requests);
            break;
        case Phase::killing:
            // The requests are cancelled again, because one that was just being accepted was not
            // known the first time.
            actions.add(Action::cancel_requests);
            break;
        case Phase::stopping:
            actions.add(Action::stop_serving);
            break;
        case Phase::closed:
            view_.is_closed = true;
            break;
        case Phase::open:
        case Phase::draining:
            break;  // no deadline leads to these phases
    }
}

/// Adds the policy's action of the current phase, once for each phase that has one. If a handler
/// has kept the serving thread busy through several phases, the policy is told only of the last
/// one.
void Lifecycle::tell_policy(Actions& actions) noexcept {
    const Phase told = std::exchange(policy_knows_, phase());
    if (told < std::min(phase(), Phase::impatient)) actions.add(Action::policy_drain);
    const Phase wanted = std::min(phase(), Phase::killing);
    if (wanted < Phase::cancelling || told >= wanted) return;
    actions.add(wanted == Phase::killing ? Action::policy_kill : Action::policy_cancel);
}

void Lifecycle::end_queue(TimePoint now, Actions& actions) noexcept {
    if (!view_.is_draining() || view_.queue_is_served || now < order_.handshakes_until) return;
    view_.queue_is_served = true;
    actions.add(Action::refuse_newcomers);
}

void Lifecycle::end_serving(bool requests_remain, Actions& actions) noexcept {
    if (!view_.is_draining()) return;  // an open server may be served again
    view_.phase = Phase::closed;
    view_.is_closed = true;
    actions.add(Action::let_go);
    if (!requests_remain) return;
    // Somebody stopped the server during the drain.
    actions.add(Action::cancel_requests);
    if (policy_knows_ < Phase::killing) actions.add(Action::policy_kill);
}

}  // namespace socketserver::detail
