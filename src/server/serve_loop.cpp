// SPDX-License-Identifier: MIT
// The part of ServerBase that serves, until it is stopped or closed.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "io/socket_error.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace detail {

namespace {

constexpr std::chrono::milliseconds pause_of_loop{1};
/// After how many requests a busy loop, which never waits, checks for a stop from outside.
constexpr int requests_between_looks = 16;
/// How often in sequence one request must have come alone before the loop expects that.
constexpr int single_in_sequence = 4;

}  // namespace

ServerBase& Serving::own(ServerBase& server) {
    server.own_in_this_process();
    return server;
}

Serving::Serving(ServerBase& server, ServerState& state, bool is_forever)
    : server_{own(server)},
      state_{state},
      mark_{&server, &Current::serving},
      outer_replies_{current().replies} {
    const std::lock_guard lock{state_.mutex};
    // A stop that came first ends this serve at once, on a closed server as well: the thread that
    // closed it may have been faster than the one that began to serve.
    if (state_.life.load().is_closed && !state_.stop) {
        throw std::system_error(EBADF, std::system_category(), "serve: the server is closed");
    }
    if (state_.serving++ == 0) {
        state_.only_loop = std::this_thread::get_id();
        if (!state_.drain_thread_serves) state_.ended_by_signal = false;
        // handle_request() takes one request only.
        if (state_.received != nullptr) state_.received->allow_batches(is_forever);
    } else if (state_.only_loop != std::this_thread::get_id()) {  // else it is inside the other one
        state_.only_loop = {};
        if (state_.received != nullptr) state_.received->allow_batches(false);
    }
}

void Serving::collect_replies() {
    const auto delay = server_.options().max_reply_delay;
    if (!delay || state_.received == nullptr || server_.server_address().is_unix()) return;
    const std::lock_guard lock{state_.mutex};
    if (!server_.socket_ || state_.only_loop != std::this_thread::get_id()) return;
    replies_.emplace(server_.socket_, *delay, state_.received->waiting());
    current().replies = &*replies_;
}

Serving::~Serving() {
    replies_.reset();
    current().replies = outer_replies_;
    const std::lock_guard lock{state_.mutex};
    if (--state_.serving > 0) return;
    state_.only_loop = {};
    if (state_.received != nullptr) state_.received->allow_batches(false);
    const Lifecycle::View life = state_.life;
    if (state_.stop || life.is_draining()) state_.table->lingering.end();
    // The exception for the first call after a close does not apply to the thread of a drain.
    if (!life.is_closed || !state_.drain_thread_serves) {
        state_.take_stop_back();
        if (state_.signalled.exchange(false)) state_.ended_by_signal = true;
    }
    ++state_.serves;
    if (state_.at_end_of_serve != nullptr) state_.at_end_of_serve->wake();
    if (life.is_closed) server_.let_go();
    state_.ended.notify_all();
}

void Serving::look_for_stop() { wait(-1, -1, TimePoint{}); }

bool Serving::wait(int listener, int policy, TimePoint until) {
    enum : std::size_t { stop, loop, requests, mixin, lingering, count };
    std::array<pollfd, count> entries{};
    // A worker whose parent drains is not stopped: it serves on until nothing is left.
    const bool drains = state_.drains_as_worker();
    entries[stop] = {drains ? -1 : state_.stop_waker.fileno(), POLLIN, 0};
    entries[loop] = {state_.loop_waker.fileno(), POLLIN, 0};
    entries[requests] = {listener, POLLIN, 0};  // poll(2) passes over negative descriptors
    entries[mixin] = {policy, POLLIN, 0};
    Lingering& lingerers = state_.table->lingering;
    entries[lingering] = {lingerers.fileno(), POLLIN, 0};
    if (state_.received != nullptr && state_.copies.are_several()) {
        state_.received->allow_batches(false);
    }
    if (drains) until = std::min(until, state_.drain_deadline());
    if (!lingerers.is_empty()) until = std::min(until, lingerers.next_end());
    const int ready = poll(entries.data(), entries.size(), until);
    if (ready == -1) {
        waiting_failed();
        return false;
    }
    if (!lingerers.is_empty()) lingerers.look_after();
    if (entries[loop].revents != 0) state_.loop_waker.reset();
    if (entries[stop].revents != 0) {
        if (state_.is_worker) {
            state_.obey_parent();
        } else {
            state_.stop = true;
        }
    }
    return ready > 0;
}

int Serving::looks_after_wait(int left, bool found_none) noexcept {
    const int taken = looks_ - left;
    if (taken > 1) {
        single_ = 0;
        looks_ = requests_between_looks;
    } else if (found_none && taken == 1) {
        if (++single_ >= single_in_sequence) {
            looks_ = 1;
            until_probe_ = requests_between_looks;
        }
    } else if (looks_ <= 1 && --until_probe_ <= 0) {
        looks_ = requests_between_looks;
    }
    return looks_;
}

void Serving::waiting_failed() {
    try {
        throw_system_error("wait for requests");
    } catch (...) {
        // The error is treated like one of accepting: it is reported, or thrown if it is fatal.
        server_.accept_failed(std::current_exception());
    }
    sleep_until(std::max(state_.accept_again.load(), Clock::now() + pause_of_loop));
}

void Serving::pause_after(std::exception_ptr error) {
    server_.report_server_error(error);
    sleep_until(Clock::now() + pause_of_loop);
}

}  // namespace detail

namespace {

using detail::Clock;
using detail::Current;
using detail::never;
using detail::ServerMark;
using detail::Serving;
using detail::TimePoint;
using detail::Turn;

/// Until when the loop waits. There is no limit if only the policy keeps the loop from accepting.
TimePoint wait_end(TimePoint accept_at) { return accept_at == TimePoint{} ? never : accept_at; }

/// A negative time means no time.
template <class Duration>
TimePoint after(Duration time) {
    return time < Duration::zero() ? never : detail::deadline_after(time);
}

}  // namespace

void ServerBase::serve_forever(std::stop_token stop, std::chrono::milliseconds poll_interval) {
    std::uint64_t serves = 0;
    {
        const std::lock_guard lock{state_->mutex};
        serves = state_->serves;
    }
    const std::stop_callback on_stop{stop, [this, serves] {
                                         const std::lock_guard lock{state_->mutex};
                                         // The stop must end only this serve. If the request comes
                                         // after its end, it must not end the next one.
                                         if (state_->serves != serves) return;
                                         state_->ask_to_stop();
                                     }};
    serve_forever(poll_interval);
}

void ServerBase::serve_forever(std::chrono::milliseconds poll_interval) {
    Serving serving{*this, *state_, true};
    if (policy_->mixin_serves_in_loop()) serving.collect_replies();
    const auto loop = [&] {
        int until_look = 0;
        bool goes_on = true;
        while (goes_on && !serving.stopped()) {
            try {
                goes_on = take_turn(serving, poll_interval, until_look);
            } catch (const std::bad_alloc&) {
                // It costs this turn, and not the server.
                serving.pause_after(std::current_exception());
            }
            try {
                if (goes_on) service_actions();
            } catch (...) {
                report_server_error(std::current_exception());
            }
        }
    };
    policy_->mixin_serve(loop, true);
}

/// What the loop waits for; -1 after a close.
int ServerBase::request_fileno() const noexcept {
    const int any = state_->any_socket.load(std::memory_order_relaxed);
    if (any != -1) return any;
    return socket_ ? socket_->fileno() : -1;
}

void ServerBase::service_actions() {}

/// Runs one turn of the loop. Returns false if a drain has ended.
bool ServerBase::take_turn(Serving& serving, std::chrono::milliseconds poll_interval,
                           int& until_look) {
    const bool draining = state_->life.load().is_draining();
    if (draining) {
        pass_on_drain();
        if (is_drained()) return false;
    }
    const TimePoint accept_at = state_->accept_at();
    const bool ready =
        accept_at == TimePoint{} && (state_->life.load().has_cancelled || policy_->mixin_ready());
    if (detail::ReplyCollector* const replies = serving.replies()) replies->look_after();
    // The rest of a batch is served before the next look, so that its replies are sent together.
    const bool goes_on =
        until_look > 0 || draining || (serving.has_waited() && state_->has_received());
    const Turn turn = ready && goes_on ? serve_one() : Turn::later;
    if (turn == Turn::took) {
        --until_look;
    } else if (turn == Turn::nothing && draining && Clock::now() >= state_->handshakes_until()) {
        end_listening();
    } else {
        TimePoint poll_at =
            poll_interval.count() < 0 ? never : detail::deadline_after(poll_interval);
        if (turn == Turn::nothing && draining) {
            poll_at = std::min(poll_at, state_->handshakes_until());
        }
        // The socket is not readable because of a datagram that was already received.
        if (ready && state_->has_received()) poll_at = TimePoint{};
        serving.wait(ready ? request_fileno() : -1, policy_->mixin_fileno(),
                     std::min({poll_at, wait_end(accept_at), policy_->mixin_service_at()}));
        until_look = serving.looks_after_wait(until_look, turn == Turn::nothing);
        policy_->mixin_service();
    }
    return true;
}

void ServerBase::handle_request() {
    Serving serving{*this, *state_, false};
    serving.look_for_stop();
    const auto loop = [&] {
        if (serving.stopped()) return;
        const auto socket_timeout = socket().gettimeout();
        const TimePoint until = std::min(options_.timeout ? after(*options_.timeout) : never,
                                         socket_timeout ? after(*socket_timeout) : never);
        while (!serving.stopped()) {
            policy_->mixin_service();
            const TimePoint accept_at = state_->accept_at();
            const bool ready = accept_at == TimePoint{} && policy_->mixin_ready();
            if (ready && serve_one() == Turn::took) break;
            const bool in_time =
                serving.wait(ready ? request_fileno() : -1, policy_->mixin_fileno(),
                             std::min({until, wait_end(accept_at), policy_->mixin_service_at()}));
            if (!in_time && until <= Clock::now()) {
                handle_timeout();
                break;
            }
        }
        policy_->mixin_service();
    };
    policy_->mixin_serve(loop, false);
}

void ServerBase::shutdown() {
    if (::getpid() != state_->owner) return state_->stop_waker.wake();
    std::unique_lock lock{state_->mutex};
    state_->ask_to_stop();
    if (state_->serving == 0 || ServerMark::stands(this, &Current::serving)) return;
    state_->ended.wait(lock, [this, serves = state_->serves] { return state_->serves != serves; });
}

void ServerBase::server_close() {
    if (::getpid() != state_->owner) return;  // a copy in a child: the server is the parent's
    const bool serves_here = ServerMark::stands(this, &Current::serving);
    const bool in_handler = serves_here || ServerMark::stands(this, &Current::request);
    if (!in_handler) drain_after_signal();
    {
        std::unique_lock lock{state_->mutex};
        const bool serves = state_->serving > 0;
        if (!state_->life.load().is_closed || serves) state_->ask_to_stop();
        state_->step({detail::Lifecycle::Event::Kind::close_asked});
        if (serves && !serves_here) {
            state_->ended.wait(
                lock, [this, before = state_->serves] { return state_->serves != before; });
        }
        // In the thread of the only loop, a handler of a synchronous server for example, the loop
        // does not touch the socket any more. Loops in other threads do; the last of them lets go.
        if (state_->serving == 0 || state_->only_loop == std::this_thread::get_id()) let_go();
    }
    policy_->mixin_close(!in_handler);
    state_->table->lingering.end();  // those of requests that have ended since the loop did
}

}  // namespace socketserver
