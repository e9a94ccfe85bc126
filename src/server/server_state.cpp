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

using Action = Lifecycle::Action;
using Actions = Lifecycle::Actions;
using Event = Lifecycle::Event;

static_assert(std::atomic<Lifecycle::View>::is_always_lock_free);

constexpr std::chrono::milliseconds shortest_pause{1};
constexpr std::chrono::milliseconds loop_ends_within{100};

}  // namespace

ServerState::ServerState(ServerBase& server, const ServerOptions& options, bool is_stream)
    : table{std::make_shared<RequestTable>(options, is_stream, std::make_shared<ServerLink>(server),
                                           loop_waker, stop_waker)},
      received{is_stream ? nullptr : std::make_shared<DatagramQueue>()},
      owner{::getpid()} {}

ServerState::~ServerState() { table->leave_server(); }

void ServerState::part_from_parent(const ServerOptions& options, bool is_stream, int serving_here) {
    auto own =
        std::make_shared<RequestTable>(options, is_stream, table->server, loop_waker, stop_waker);
    own->limits.settings().set(table->limits.settings().get());
    stop_waker.renew();
    loop_waker.renew();
    table = std::move(own);
    if (received != nullptr) received->leave_to_parent();
    Lifecycle copy;
    if (life.load().is_closed) copy = copy.step({Event::Kind::close_asked}, {}).next;
    begin_anew(copy);
    serving = serving_here;
    only_loop = serving_here > 0 ? std::this_thread::get_id() : std::thread::id{};
    stop = false;
    signalled = ended_by_signal = false;
    at_end_of_serve = nullptr;
    copies.join();
}

void ServerState::begin_anew(const Lifecycle& own) noexcept {
    std::construct_at(&mutex);
    std::construct_at(&ended);
    lifecycle = own;
    life = own.view();
}

Actions ServerState::step(const Event& event) noexcept {
    const auto [next, actions] = lifecycle.step(event, Clock::now());
    lifecycle = next;
    if (!is_worker) {  // which reads what its parent writes here
        SharedCounters::Drain& workers = table->counters->drain;
        workers.until = next.order().until;
        workers.handshakes_until = next.order().handshakes_until;
        workers.leaves_queue = next.order().leaves_queue;
    }
    const bool is_new = life.exchange(next.view()) != next.view();
    take(actions);
    if (is_new) {
        loop_waker.wake();
        ended.notify_all();
    }
    return actions;
}

void ServerState::take(Actions actions) noexcept {
    if (actions.has(Action::end_idle_input)) table->end_idle_input();
    if (actions.has(Action::end_fresh_input)) table->end_fresh_input();
    if (actions.has(Action::cancel_requests)) table->cancel_all();
    if (!actions.has(Action::stop_serving)) return;
    if (is_worker) {
        stop = true;  // its waker is the parent's
    } else {
        ask_to_stop();
    }
}

void ServerState::ask_to_stop() noexcept {
    stop = true;
    stop_waker.wake();
}

void ServerState::take_stop_back() noexcept {
    stop_waker.reset();
    stop = false;
}

void ServerState::end_loop_after_signal(const Waker& waker,
                                        const std::atomic<bool>& gives_up) noexcept {
    std::unique_lock lock{mutex};
    pollfd pending{stop_waker.fileno(), POLLIN, 0};
    const bool is_held_up = serving > 0 && (stop || ::poll(&pending, 1, 0) == 1);
    if (!is_held_up || !signalled) return;
    enum class Wait : unsigned char { over, again, timed_out };
    const auto wait = [&, before = serves](TimePoint until) {
        at_end_of_serve = &waker;
        lock.unlock();
        pollfd entry{waker.fileno(), POLLIN, 0};
        const bool is_woken = poll(&entry, 1, until) == 1;
        if (is_woken) waker.reset();
        lock.lock();
        at_end_of_serve = nullptr;
        // Another one's drain, or close, ends the loop in its own time.
        if (serves != before || gives_up || lifecycle.phase() != Lifecycle::Phase::open) {
            return Wait::over;
        }
        return is_woken ? Wait::again : Wait::timed_out;
    };
    const TimePoint start = Clock::now();
    const TimePoint end = deadline_after(close_within.load(), start);
    // A loop in which no handler runs has ended by then. Requests that a policy serves elsewhere go
    // on, because the server may serve again.
    Wait wake = wait(std::min(end, start + loop_ends_within));
    if (wake == Wait::over) return;
    table->end_idle_input();
    if (wake == Wait::timed_out) wake = wait(std::min(end, start + Lifecycle::patience));
    if (wake == Wait::over) return;
    table->end_fresh_input();
    if (wake == Wait::timed_out && wait(end) == Wait::over) return;
    // Again and again: one that is just being accepted is not known the first time.
    do {
        table->cancel_all();
    } while (wait(Clock::now() + Lifecycle::grace) != Wait::over);
}

std::thread ServerState::take_drain_thread() noexcept {
    if (!drain_thread.joinable()) return {};
    // As after server_close(), a thread that was about to serve returns at once.
    ask_to_stop();
    if (is_served()) return {};
    return std::move(drain_thread);  // of several drains one waits for it
}

void ServerState::wait_for_event(std::unique_lock<std::mutex>& lock) {
    if (!is_served()) return;
    const TimePoint deadline = lifecycle.deadline();
    if (deadline == never) {
        ended.wait(lock);
    } else {
        ended.wait_until(lock, deadline);
    }
}

Event ServerState::event_in_drain() const noexcept {
    if (is_served()) return {};
    return {.kind = Event::Kind::serving_ended, .requests_remain = !table->is_empty()};
}

Actions ServerState::turn() noexcept {
    if (is_worker) follow_parents_drain();
    const std::lock_guard lock{mutex};
    return step({Event::Kind::loop_turned});
}

Actions ServerState::queue_is_empty() noexcept {
    const std::lock_guard lock{mutex};
    return step({Event::Kind::queue_empty});
}

void ServerState::enter_worker(int control) {
    begin_anew({});
    unix_path.disown();
    is_worker = true;
    stop_waker.watch(control);
    loop_waker.renew();
    // The other workers may be idle, so that none of them takes more than it serves.
    if (received != nullptr) received->leave_to_parent();
    table->enter_worker();
}

void ServerState::obey_parent() noexcept {
    const int control = stop_waker.fileno();
    auto order = WorkerOrder::stop;  // the end of the stream: there is no parent any more
    const auto receive = [&](int flags) {
        return sys::retry_on_eintr(
            [&] { return ::recv(control, &order, sizeof order, flags | MSG_DONTWAIT); });
    };
    if (receive(MSG_PEEK) == -1 && errno == EAGAIN) return;
    // A stop is not removed from the control, so that every thread that waits for stop_fileno()
    // sees it.
    if (order != WorkerOrder::stop) receive(0);
    // If the worker retired in a drain, nobody would serve the clients in the queue.
    if (table->is_draining()) {
        follow_parents_drain();
    } else {
        stop = true;
    }
}

void ServerState::follow_parents_drain() noexcept {
    const SharedCounters::Drain& parents = table->counters->drain;
    const std::lock_guard lock{mutex};
    // The order is read each time, because another drain in the parent may have an earlier
    // deadline.
    const bool leaves_queue = parents.leaves_queue && !(has_own_socket && parents.ends_own_queues);
    step({Event::Kind::drain_asked, {parents.until, parents.handshakes_until, leaves_queue}});
}

TimePoint ServerState::drain_deadline() noexcept {
    const std::lock_guard lock{mutex};
    return lifecycle.deadline();
}

bool ServerState::wait_unless_stopped(int descriptor) {
    for (;;) {
        // As in the loop, see Serving::wait().
        const bool drains = drains_as_worker();
        if (drains) follow_parents_drain();
        std::array<pollfd, 2> entries{
            {{drains ? -1 : stop_waker.fileno(), POLLIN, 0}, {descriptor, POLLIN, 0}}};
        try {
            if (poll(entries.data(), entries.size(), drains ? drain_deadline() : never) == -1) {
                throw_system_error("wait for requests to end");
            }
        } catch (const std::bad_alloc&) {
            sleep_until(Clock::now() + shortest_pause);
            continue;
        } catch (const std::system_error& error) {
            // An error that may soon be over must not break off the requests that are being served.
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

}  // namespace socketserver::detail
