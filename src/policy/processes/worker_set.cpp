// SPDX-License-Identifier: MIT
#include "socketserver/detail/policy/processes/worker_set.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "io/close_on_fork.hpp"
#include "io/socket_error.hpp"
#include "os/child_process.hpp"
#include "os/sys.hpp"
#include "os/timespec.hpp"
#include "request/drain_signal.hpp"
#include "request/shared_counters.hpp"
#include "server/worker_order.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/policy/processes/child_reaper.hpp"

namespace socketserver::detail {

namespace {

/// A worker that lived for this long did not die because it could not start.
constexpr std::chrono::seconds settled{1};
constexpr std::chrono::milliseconds shortest_fork_pause{10};
constexpr std::chrono::milliseconds longest_fork_pause{10'000};
/// How often to check whether a worker has ended for which the kernel gives no descriptor.
constexpr std::chrono::milliseconds look_at_workers{20};

static_assert(SharedCounters::most_workers >= 2 * WorkerSet::most);

struct WorkerProcess {
    pid_t pid;
    std::size_t number;  ///< less than WorkerSet::most; see WorkerSet::Outcome
    int control;
    int pidfd;
    TimePoint started;
    bool is_watched = true;      ///< its descriptors tell when it announces something, and ends
    bool leaving = false;        ///< asked to end, or has announced that it ends
    bool control_ended = false;  ///< the worker has closed its end
    WorkerOrder told = WorkerOrder::none;
};

void close_control(int control) noexcept {
    const CloseOnFork::Closing closing{control};
    sys::calls.close(control);
}

/// Sends an order to a worker. Each order is sent once, and none after a stronger one. Returns
/// false if it could not be sent.
bool tell(WorkerProcess& worker, WorkerOrder order) noexcept {
    if (worker.told >= order) return true;
    const char byte = static_cast<char>(order);
    const auto sent = sys::retry_on_eintr([&] {
        return sys::calls.send(worker.control, &byte, sizeof byte, MSG_NOSIGNAL | MSG_DONTWAIT);
    });
    if (sent != 1) return false;
    worker.told = order;
    return true;
}

/// The end of a worker.
struct End {
    std::exception_ptr error;  ///< null if it ended as intended
};

}  // namespace

struct WorkerSet::State {
    mutable std::mutex mutex;
    std::vector<WorkerProcess> workers;
    std::atomic<std::size_t> count{0};  // the number of workers, which is read without the lock
    std::size_t target = 0;
    std::chrono::milliseconds pause{0};  // the pause before the next fork
    TimePoint fork_again{};
    bool is_fork_failing = false;
    int epoll = -1;
    int timer = -1;

    std::size_t accepting() const;
    std::size_t free_number() const noexcept;
    void look_at_control(WorkerProcess& worker) noexcept;
    void tell_all(WorkerOrder order) noexcept;
    /// The end of the worker, if it has ended.
    std::optional<End> look_for_end(const WorkerProcess& worker, int options) noexcept;
    /// The next higher process id of a worker; 0 if there is none.
    pid_t pid_after(pid_t pid) const noexcept;
    void lengthen_pause();
    void fill_up(Outcome& outcome);
    /// Returns the worker's end of the control in the worker, and -1 in the parent.
    int fork_worker(std::size_t number);
    [[nodiscard]] bool watch(int descriptor) const noexcept;
    void unwatch(int descriptor) const noexcept;
    void forget(const WorkerProcess& worker) noexcept;
    void set_timer() const noexcept;
    void close_descriptors() noexcept;
};

WorkerSet::WorkerSet() : state_{std::make_unique<State>()} {}

WorkerSet::~WorkerSet() { state_->close_descriptors(); }

void WorkerSet::State::close_descriptors() noexcept {
    for (const WorkerProcess& worker : workers) {
        close_control(worker.control);
        if (worker.pidfd != -1) sys::calls.close(worker.pidfd);
    }
    if (epoll != -1) sys::calls.close(epoll);
    if (timer != -1) sys::calls.close(timer);
    epoll = timer = -1;
}

void WorkerSet::start(std::size_t count) {
    const std::lock_guard lock{state_->mutex};
    if (state_->epoll == -1) {
        state_->epoll = sys::calls.epoll_create1(EPOLL_CLOEXEC);
        if (state_->epoll == -1) throw_system_error("supervise worker processes");
    }
    if (state_->timer == -1) {
        state_->timer = sys::calls.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        // Without it no worker would be forked.
        if (state_->timer == -1 || !state_->watch(state_->timer)) {
            const int error = errno;
            if (state_->timer != -1) sys::calls.close(std::exchange(state_->timer, -1));
            errno = error;
            throw_system_error("supervise worker processes");
        }
    }
    state_->target = std::min(count, most);
    state_->pause = std::chrono::milliseconds{0};
    state_->fork_again = Clock::now();
    state_->set_timer();
}

int WorkerSet::fileno() const noexcept { return state_->epoll; }

WorkerSet::Outcome WorkerSet::supervise() {
    Outcome outcome;
    const std::lock_guard lock{state_->mutex};
    // A worker that has been waited for must be reported. So the memory for that is reserved
    // before.
    outcome.ended.pids.reserve(state_->workers.size());
    outcome.ended.errors.reserve(state_->workers.size() + 1);
    std::erase_if(state_->workers, [&](WorkerProcess& worker) {
        state_->look_at_control(worker);
        const auto end = state_->look_for_end(worker, WNOHANG);
        if (!end) return false;
        outcome.ended.pids.push_back(worker.pid);
        if (end->error) outcome.ended.errors.push_back(end->error);
        return true;
    });
    state_->fill_up(outcome);
    state_->count = state_->workers.size();
    if (outcome.control == -1) state_->set_timer();
    return outcome;
}

std::size_t WorkerSet::State::accepting() const {
    return static_cast<std::size_t>(
        std::count_if(workers.begin(), workers.end(),
                      [](const WorkerProcess& worker) { return !worker.leaving; }));
}

void WorkerSet::State::look_at_control(WorkerProcess& worker) noexcept {
    if (worker.control_ended) return;
    char announced = 0;
    const auto received = sys::retry_on_eintr(
        [&] { return ::recv(worker.control, &announced, sizeof announced, MSG_DONTWAIT); });
    if (received == 1) {
        worker.leaving = true;
    } else if (received == 0 || errno != EAGAIN) {
        worker.control_ended = true;
        unwatch(worker.control);
    }
}

std::optional<End> WorkerSet::State::look_for_end(const WorkerProcess& worker,
                                                  int options) noexcept {
    const auto ended = wait_for_child(worker.pid, options);
    if (!ended) return {};
    if (!worker.leaving) {
        if (Clock::now() - worker.started >= settled)
            pause = std::chrono::milliseconds{0};
        else
            lengthen_pause();
    }
    forget(worker);
    try {
        return End{describe_end(worker.pid, *ended, worker.leaving)};
    } catch (const std::bad_alloc&) {
        return End{std::current_exception()};
    }
}

void WorkerSet::State::lengthen_pause() {
    pause = std::clamp(pause * 2, shortest_fork_pause, longest_fork_pause);
    fork_again = Clock::now() + pause;
}

void WorkerSet::State::fill_up(Outcome& outcome) {
    while (accepting() < target && workers.size() < most && fork_again <= Clock::now()) {
        try {
            const std::size_t number = free_number();
            outcome.control = fork_worker(number);
            if (outcome.control != -1) {
                outcome.number = number;
                outcome.workers = target;
                return;
            }
            is_fork_failing = false;
        } catch (const std::exception&) {
            // There is no process, no descriptor or no memory. This is reported once, not at each
            // attempt.
            if (!is_fork_failing) outcome.ended.errors.push_back(std::current_exception());
            is_fork_failing = true;
            lengthen_pause();
        }
    }
}

/// The least one that no worker has which accepts.
std::size_t WorkerSet::State::free_number() const noexcept {
    std::bitset<most> taken;
    for (const WorkerProcess& worker : workers) {
        if (!worker.leaving) taken.set(worker.number);
    }
    std::size_t number = 0;
    while (number + 1 < most && taken.test(number)) ++number;
    return number;
}

int WorkerSet::State::fork_worker(std::size_t number) {
    flush_before_fork();
    workers.reserve(workers.size() + 1);  // nothing may throw once there is a worker
    std::array<int, 2> ends{};
    std::optional<CloseOnFork::NoFork> no_fork{std::in_place};
    if (sys::calls.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == -1) {
        throw_system_error("fork a worker process");
    }
    const auto [ours, theirs] = ends;
    CloseOnFork::add_control(ours);
    no_fork.reset();
    const pid_t pid = fork_worker_process();
    if (pid == 0) {
        // No lock is taken in this branch. The descriptors of the controls stand for nothing any
        // more, see CloseOnFork.
        close_descriptors();
        workers.clear();
        close_control(ours);
        return theirs;
    }
    const int error = errno;
    sys::calls.close(theirs);
    if (pid == -1) {
        close_control(ours);
        errno = error;
        throw_system_error("fork a worker process");
    }
    WorkerProcess& worker = workers.emplace_back(
        WorkerProcess{pid, number, ours, sys::calls.pidfd_open(pid, 0), Clock::now()});
    worker.is_watched = watch(ours) && (worker.pidfd == -1 || watch(worker.pidfd));
    return -1;
}

/// Returns false if there is no memory for one more descriptor.
bool WorkerSet::State::watch(int descriptor) const noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    return sys::calls.epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void WorkerSet::State::unwatch(int descriptor) const noexcept {
    // Closing alone would not remove the entry if another process has a copy of the descriptor.
    sys::calls.epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nullptr);
}

void WorkerSet::State::forget(const WorkerProcess& worker) noexcept {
    if (!worker.control_ended) unwatch(worker.control);
    close_control(worker.control);
    if (worker.pidfd == -1) return;
    unwatch(worker.pidfd);
    sys::calls.close(worker.pidfd);
}

/// Sets the timer for the next fork, and for workers whose end no descriptor reports. Setting it
/// also clears an earlier expiry.
void WorkerSet::State::set_timer() const noexcept {
    std::optional<std::chrono::nanoseconds> after;
    if (accepting() < target && workers.size() < most) after = fork_again - Clock::now();
    if (std::any_of(workers.begin(), workers.end(), [](const WorkerProcess& worker) {
            return !worker.is_watched || (worker.control_ended && worker.pidfd == -1);
        })) {
        after =
            std::min<std::chrono::nanoseconds>(after.value_or(look_at_workers), look_at_workers);
    }
    itimerspec when{};
    if (after) {
        // Zero would disarm it.
        when.it_value = to_timespec(std::max(*after, std::chrono::nanoseconds{1}));
    }
    ::timerfd_settime(timer, 0, &when, nullptr);
}

void WorkerSet::State::tell_all(WorkerOrder order) noexcept {
    target = 0;
    for (WorkerProcess& worker : workers) {
        worker.leaving = true;
        // If the order cannot be sent, the end of the control is closed, which needs no memory. It
        // means stop, or drain while a drain is under way.
        if (!tell(worker, order)) ::shutdown(worker.control, SHUT_WR);
    }
}

void WorkerSet::stop() noexcept {
    const std::lock_guard lock{state_->mutex};
    state_->tell_all(WorkerOrder::stop);
}

void WorkerSet::drain() noexcept {
    const std::lock_guard lock{state_->mutex};
    state_->tell_all(WorkerOrder::drain);
}

pid_t WorkerSet::State::pid_after(pid_t pid) const noexcept {
    const std::lock_guard lock{mutex};
    pid_t next = 0;
    for (const WorkerProcess& worker : workers) {
        if (worker.pid > pid && (next == 0 || worker.pid < next)) next = worker.pid;
    }
    return next;
}

void WorkerSet::collect(
    bool blocking, const std::function<void(int pid, std::exception_ptr error)>& report) noexcept {
    // The workers are visited in the order of their process ids, because a list of them would need
    // memory.
    for (pid_t pid = state_->pid_after(0); pid != 0; pid = state_->pid_after(pid)) {
        // This waits without the lock, and does not take the status, so that the worker stays in
        // the list meanwhile.
        siginfo_t info{};
        if (blocking) {
            sys::retry_on_eintr(
                [&] { return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT); });
        }
        std::optional<End> end;
        {
            const std::lock_guard lock{state_->mutex};
            std::erase_if(state_->workers, [&](const WorkerProcess& worker) {
                if (worker.pid != pid) return false;
                end = state_->look_for_end(worker, WNOHANG);
                return end.has_value();
            });
            state_->count = state_->workers.size();
        }
        if (end) report(pid, end->error);
    }
}

void WorkerSet::announce_drain() noexcept {
    const std::lock_guard lock{state_->mutex};
    for (const WorkerProcess& worker : state_->workers) DrainSignal::send(worker.pid, worker.pidfd);
}

std::size_t WorkerSet::size() const noexcept { return state_->count; }

bool WorkerSet::empty() const {
    const std::lock_guard lock{state_->mutex};
    return state_->workers.empty();
}

void WorkerSet::kill() noexcept {
    const std::lock_guard lock{state_->mutex};
    for (const WorkerProcess& worker : state_->workers)
        signal_child(worker.pid, worker.pidfd, SIGKILL);
}

bool WorkerSet::retire(int pid) noexcept {
    const std::lock_guard lock{state_->mutex};
    for (WorkerProcess& worker : state_->workers) {
        if (worker.pid != pid || worker.leaving) continue;
        worker.leaving = tell(worker, WorkerOrder::retire);
        return worker.leaving;
    }
    return false;
}

std::vector<int> WorkerSet::pids() const {
    const std::lock_guard lock{state_->mutex};
    std::vector<int> pids;
    for (const WorkerProcess& worker : state_->workers) {
        if (!worker.leaving) pids.push_back(worker.pid);
    }
    return pids;
}

void WorkerSet::announce_retirement(int control) noexcept {
    // If this fails, the parent is gone, and nobody needs to be told.
    const char announced = 0;
    sys::retry_on_eintr(
        [&] { return ::send(control, &announced, sizeof announced, MSG_NOSIGNAL); });
}

}  // namespace socketserver::detail
