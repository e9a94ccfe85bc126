// SPDX-License-Identifier: MIT
#include "server/server_state.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "server/accept_error.hpp"
#include "server/worker_order.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver::detail {

namespace {
constexpr std::chrono::milliseconds shortest_pause{1};
}

ServerState::ServerState(const ServerOptions& options, bool is_stream)
    : registry{std::make_shared<Registry>(options, is_stream, loop_waker, stop_waker)},
      owner{::getpid()} {}

ServerState::~ServerState() { registry->leave_server(); }

void ServerState::part_from_parent(const ServerOptions& options, bool is_stream, int serving_here) {
    auto own = std::make_shared<Registry>(options, is_stream, loop_waker, stop_waker);
    stop_waker.renew();
    loop_waker.renew();
    registry = std::move(own);
    std::construct_at(&mutex);
    std::construct_at(&ended);
    serving = serving_here;
    stop = false;
    copies.join();
}

TimePoint ServerState::accept_at() const noexcept {
    if (queue_is_served.load(std::memory_order_relaxed)) return never;
    if (pause.load(std::memory_order_relaxed).count() > 0) {
        const TimePoint again = accept_again.load(std::memory_order_relaxed);
        if (again > Clock::now()) return again;
    }
    if (too_late.load(std::memory_order_relaxed)) return {};
    if (paused.load(std::memory_order_relaxed) && !registry->drains_here()) return never;
    return registry->limits.accept_at();
}

void ServerState::obey_parent() noexcept {
    const int control = stop_waker.fileno();
    auto order = WorkerOrder::stop;  // the end of the stream: there is no parent any more
    const auto receive = [&](int flags) {
        return sys::retry_on_eintr(
            [&] { return ::recv(control, &order, sizeof order, flags | MSG_DONTWAIT); });
    };
    if (receive(MSG_PEEK) == -1 && errno == EAGAIN) return;
    // A stop stays where it is, so that everybody sees it who waits for stop_fileno().
    if (order != WorkerOrder::stop) receive(0);
    // Retiring in a drain would leave the clients in the queue to nobody.
    if (registry->is_draining()) {
        begin_worker_drain();
    } else {
        stop = true;
    }
}

void ServerState::begin_worker_drain() noexcept {
    patience_until = Clock::now() + Registry::patience;
    if (registry->counters->queue_is_left.load()) queue_is_served = true;
    registry->begin_drain();
}

void ServerState::go_on_draining() noexcept {
    const TimePoint now = Clock::now();
    if (now >= patience_until && !registry->is_patience_over()) registry->end_patience();
    if (now < registry->counters->drain_until.load() || too_late.exchange(true)) return;
    cancel_level = 1;
    registry->end_patience();
    registry->cancel_all();
}

TimePoint ServerState::next_drain_step() const noexcept {
    if (!is_worker || !registry->drains_here() || too_late) return never;
    const TimePoint until = registry->counters->drain_until.load();
    return registry->is_patience_over() ? until : std::min(patience_until, until);
}

bool ServerState::wait_unless_stopped(int descriptor) {
    for (;;) {
        // As in the loop, see Serving::wait().
        const bool drains = is_worker && registry->drains_here();
        if (drains) go_on_draining();
        std::array<pollfd, 2> entries{
            {{drains ? -1 : stop_waker.fileno(), POLLIN, 0}, {descriptor, POLLIN, 0}}};
        try {
            if (poll(entries.data(), entries.size(), next_drain_step()) == -1) {
                throw_system_error("wait for requests to end");
            }
        } catch (const std::bad_alloc&) {
            sleep_until(Clock::now() + shortest_pause);
            continue;
        } catch (const std::system_error& error) {
            // Who is being served is not cut off because of what may be over in a moment.
            if (classify_accept_error(error.code().value()) == AcceptAction::fatal) throw;
            sleep_until(Clock::now() + shortest_pause);
            continue;
        }
        if (entries[0].revents != 0) {
            if (!is_worker) return false;
            stop = false;
            obey_parent();
            if (stop.exchange(true)) return false;
        }
        if (entries[1].revents != 0) return true;
    }
}

ServerBase& Serving::own(ServerBase& server) {
    server.own_in_this_process();
    return server;
}

Serving::Serving(ServerBase& server, ServerState& state)
    : server_{own(server)}, state_{state}, mark_{&server, &Current::serving} {
    const std::lock_guard lock{state_.mutex};
    // A stop that came first ends this serve at once, on a closed server as well: the thread that
    // closed it may have been faster than the one that began to serve.
    if (state_.closed && !state_.stop) {
        throw std::system_error(EBADF, std::system_category(), "serve: the server is closed");
    }
    ++state_.serving;
}

Serving::~Serving() {
    const std::lock_guard lock{state_.mutex};
    if (--state_.serving > 0) return;
    if (state_.stop || state_.registry->drains_here()) state_.registry->lingering.end();
    // The thread of a drain is not the caller whom a close lets return at once.
    if (!state_.closed || !state_.drain_thread_serves) {
        state_.stop_waker.reset();
        state_.stop = false;
    }
    ++state_.serves;
    if (state_.closed) server_.let_go();
    state_.ended.notify_all();
}

void Serving::look_for_stop() { wait(-1, -1, TimePoint{}); }

bool Serving::wait(int listener, int policy, TimePoint until) {
    enum : std::size_t { stop, loop, requests, mixin, lingering, count };
    std::array<pollfd, count> entries{};
    // A worker whose parent drains is not stopped: it serves on until nothing is left.
    const bool drains = state_.is_worker && state_.registry->drains_here();
    entries[stop] = {drains ? -1 : state_.stop_waker.fileno(), POLLIN, 0};
    entries[loop] = {state_.loop_waker.fileno(), POLLIN, 0};
    entries[requests] = {listener, POLLIN, 0};  // poll(2) passes over negative descriptors
    entries[mixin] = {policy, POLLIN, 0};
    Lingering& lingerers = state_.registry->lingering;
    entries[lingering] = {lingerers.fileno(), POLLIN, 0};
    const int ready = poll(entries.data(), entries.size(),
                           std::min({until, state_.next_drain_step(), lingerers.next_end()}));
    if (ready == -1) {
        waiting_failed();
        return false;
    }
    lingerers.look_after();
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

void Serving::waiting_failed() {
    try {
        throw_system_error("wait for requests");
    } catch (...) {
        // As if accepting had failed: reported, or thrown if it is fatal. What it then keeps the
        // loop from is accepting, but here the loop could not even wait.
        server_.accept_failed(std::current_exception());
    }
    sleep_until(std::max(state_.accept_again.load(), Clock::now() + shortest_pause));
}

void Serving::pause_after(std::exception_ptr error) {
    server_.report_server_error(error);
    sleep_until(Clock::now() + shortest_pause);
}

}  // namespace socketserver::detail
