// SPDX-License-Identifier: MIT
#include "server_state.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "signal_table.hpp"
#include "socket_error.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver::detail {

ServerState::ServerState(const ServerOptions& options, bool is_stream)
    : registry{std::make_shared<Registry>(options, is_stream, wakers)}, owner{::getpid()} {}

ServerState::~ServerState() { registry->leave_server(); }

TimePoint ServerState::accept_at() const noexcept {
    if (queue_is_served.load(std::memory_order_relaxed)) return never;
    if (pause.load(std::memory_order_relaxed).count() > 0) {
        const TimePoint again = accept_again.load(std::memory_order_relaxed);
        if (again > Clock::now()) return again;
    }
    if (too_late.load(std::memory_order_relaxed)) return {};
    if (paused.load(std::memory_order_relaxed) && !registry->is_draining()) return never;
    return registry->limits.accept_at();
}

Serving::Serving(ServerBase& server, ServerState& state)
    : server_{server}, state_{state}, mark_{&server, &Current::serving} {
    const std::lock_guard lock{state_.mutex};
    // A stop that came first ends this serve at once, on a closed server as well: the thread that
    // closed it may have been faster than the one that began to serve.
    if (state_.closed && !state_.stop) {
        throw std::system_error(EBADF, std::system_category(), "serve: the server is closed");
    }
    ++state_.serving;
    state_.owner = ::getpid();
    SignalTable::adopt();
}

Serving::~Serving() {
    const std::lock_guard lock{state_.mutex};
    if (--state_.serving > 0) return;
    state_.stop_waker.reset();
    state_.stop = false;
    ++state_.serves;
    if (state_.closed) server_.let_go();
    state_.ended.notify_all();
}

void Serving::look_for_stop() { wait(-1, -1, TimePoint{}); }

bool Serving::wait(int listener, int policy, TimePoint until) {
    enum : std::size_t { stop, loop, requests, mixin, count };
    std::array<pollfd, count> entries{};
    entries[stop] = {state_.stop_waker.fileno(), POLLIN, 0};
    entries[loop] = {state_.wakers.loop.fileno(), POLLIN, 0};
    entries[requests] = {listener, POLLIN, 0};  // poll(2) passes over negative descriptors
    entries[mixin] = {policy, POLLIN, 0};
    const int ready = poll(entries.data(), entries.size(), until);
    if (ready == -1) throw_system_error("wait for requests");
    if (entries[loop].revents != 0) state_.wakers.loop.reset();
    if (entries[stop].revents != 0) state_.stop = true;
    return ready > 0;
}

}  // namespace socketserver::detail
