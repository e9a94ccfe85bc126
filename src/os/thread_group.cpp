// SPDX-License-Identifier: MIT
#include "socketserver/detail/os/thread_group.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "os/sys.hpp"
#include "os/waiting_thread.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t most_waiting = 128;
constexpr std::chrono::seconds longest_wait{10};
/// How long to wait before trying again to create a thread.
constexpr std::chrono::milliseconds try_again{20};

}  // namespace

Job::Job(bool is_daemon) noexcept : is_daemon_{is_daemon} {}
Job::~Job() = default;

// A job is queued only while there is a thread, and a thread ends only when the queue is empty. So
// no job is left behind.
struct ThreadGroup::State : std::enable_shared_from_this<State> {
    mutable std::mutex mutex;
    std::condition_variable gone;
    std::vector<WaitingThread*>
        waiting;  // the last one waits for the shortest time: its cache is warm
    std::deque<std::unique_ptr<Job>> queue;
    RoomListener room_listener{};  // set while a caller waits for room
    // Changed under the lock; statistics read them without it.
    std::atomic<std::size_t> threads{0};
    std::atomic<std::size_t> queued{0};
    std::atomic<TimePoint> missing_at{never};
    std::size_t daemons = 0;        // of the threads, the ones with a daemon's job
    std::optional<pthread_t> last;  // the thread that ended last; the next one that ends joins it
    bool closed = false;
    pid_t owner = ::getpid();  // the process that has the threads

    // The list has room for every thread, because nothing may fail when a thread begins to wait.
    State() { waiting.reserve(most_waiting); }

    /// Whether this is the copy in a forked child, which has none of the threads.
    bool is_copy() const { return ::getpid() != owner; }

    struct Start {
        std::shared_ptr<State> state;
        std::unique_ptr<Job> job;
    };

    bool give_to_waiting(std::unique_lock<std::mutex>& lock, std::unique_ptr<Job>& job);
    int create_thread(std::unique_ptr<Job>& job);
    int start_first_queued();
    bool is_full(Bounds bounds) const;

    static void* thread_main(void* argument);
    void work(std::unique_ptr<Job> job);
    bool next_job(std::unique_lock<std::mutex>& lock, std::unique_ptr<Job>& job, bool& daemon,
                  WaitingThread& self);
    void become_daemon(bool daemon);
    void announce_room(std::unique_lock<std::mutex>& lock);
    void leave(std::unique_lock<std::mutex>& lock, bool daemon);
    void leave_at_once(bool daemon);

    /// Does what is necessary if pthread_exit() in a handler ends the thread.
    struct ThreadExit {
        State& state;
        std::unique_ptr<Job>& job;
        bool is_due = false;

        ~ThreadExit() {
            if (!is_due) return;
            const bool daemon = job->is_daemon();
            job.reset();
            state.leave_at_once(daemon);
        }
    };
};

ThreadGroup::ThreadGroup() : state_{std::make_shared<State>()} {}

ThreadGroup::~ThreadGroup() {
    close();
    join();
}

void ThreadGroup::run(std::unique_ptr<Job>& job) {
    const bool daemon = job->is_daemon();
    {
        std::unique_lock lock{state_->mutex};
        if (state_->give_to_waiting(lock, job)) return;
        state_->owner = ::getpid();
        ++state_->threads;
        if (daemon) ++state_->daemons;
    }
    const int error = state_->create_thread(job);
    if (error == 0) return;
    const std::lock_guard lock{state_->mutex};
    --state_->threads;
    if (daemon) --state_->daemons;
    throw std::system_error(error, std::system_category(), "create a thread for a request");
}

/// Returns true if a thread took the job; the lock is then released.
bool ThreadGroup::State::give_to_waiting(std::unique_lock<std::mutex>& lock,
                                         std::unique_ptr<Job>& job) {
    if (waiting.empty()) return false;
    WaitingThread& thread = *waiting.back();
    waiting.pop_back();
    if (job->is_daemon()) ++daemons;
    thread.job = std::move(job);
    lock.unlock();
    // The thread is no longer in the list of waiting ones, so its object exists until it is woken.
    thread.sleep.wake();
    return true;
}

/// Returns an error, and leaves the job to its caller, or 0.
int ThreadGroup::State::create_thread(std::unique_ptr<Job>& job) {
    std::unique_ptr<Start> start{new (std::nothrow) Start};
    if (start == nullptr) return ENOMEM;
    start->state = shared_from_this();
    start->job = std::move(job);
    pthread_t thread{};
    const int error = sys::calls.pthread_create(&thread, nullptr, thread_main, start.get());
    if (error == 0) {
        start.release();  // NOLINT(bugprone-unused-return-value): the thread owns it now
    } else {
        job = std::move(start->job);
    }
    return error;
}

bool ThreadGroup::State::is_full(Bounds bounds) const {
    // If jobs are queued although there are fewer threads than allowed, one could not be created.
    const bool is_thread_free = !waiting.empty() || (threads < bounds.threads && queue.empty());
    return !is_thread_free && queue.size() >= bounds.queue;
}

void ThreadGroup::offer(std::unique_ptr<Job>& job, std::size_t most_threads) {
    std::unique_lock lock{state_->mutex};
    std::deque<std::unique_ptr<Job>>& queue = state_->queue;
    queue.emplace_back();  // may throw; the rest does not
    queue.back() = std::move(job);
    if (!state_->waiting.empty()) {
        std::unique_ptr<Job> first = std::move(queue.front());
        queue.pop_front();
        state_->give_to_waiting(lock, first);
        return;
    }
    int error = 0;
    if (state_->threads < most_threads) error = state_->start_first_queued();
    if (state_->threads == 0) {  // so nothing else is queued
        job = std::move(queue.back());
        queue.pop_back();
        throw std::system_error(error, std::system_category(), "create a thread for a request");
    }
    if (error != 0) state_->missing_at = Clock::now() + try_again;
    state_->queued = queue.size();
}

/// Called under the lock, so that nobody queues a job for a thread that could not be created.
int ThreadGroup::State::start_first_queued() {
    const bool is_daemon = queue.front()->is_daemon();
    owner = ::getpid();
    const int error = create_thread(queue.front());
    if (error != 0) return error;
    queue.pop_front();
    ++threads;
    if (is_daemon) ++daemons;
    return 0;
}

TimePoint ThreadGroup::missing_at() const noexcept {
    return state_->missing_at.load(std::memory_order_relaxed);
}

void ThreadGroup::start_missing(std::size_t most_threads) noexcept {
    std::unique_lock lock{state_->mutex};
    state_->missing_at = never;
    bool has_started = false;
    while (!state_->queue.empty() && state_->threads < most_threads) {
        if (state_->start_first_queued() != 0) {
            state_->missing_at = Clock::now() + try_again;
            break;
        }
        has_started = true;
    }
    state_->queued = state_->queue.size();
    if (has_started) state_->announce_room(lock);
}

bool ThreadGroup::has_room(Bounds bounds, RoomListener listener) noexcept {
    const std::lock_guard lock{state_->mutex};
    if (!state_->is_full(bounds)) return true;
    state_->room_listener = std::move(listener);
    return false;
}

bool ThreadGroup::has_room(Bounds bounds) const noexcept {
    const std::lock_guard lock{state_->mutex};
    return !state_->is_full(bounds);
}

void* ThreadGroup::State::thread_main(void* argument) {
    const std::unique_ptr<Start> start{static_cast<Start*>(argument)};
    start->state->work(std::move(start->job));
    return nullptr;
}

void ThreadGroup::State::work(std::unique_ptr<Job> job) {
    WaitingThread self;
    ThreadExit exit{*this, job};
    for (;;) {
        exit.is_due = true;
        job->run();
        exit.is_due = false;
        bool daemon = job->is_daemon();
        job.reset();
        std::unique_lock lock{mutex};
        if (!next_job(lock, job, daemon, self)) return leave(lock, daemon);
    }
}

/// Takes the next job, or waits for one. Returns false if none came, so that the thread has to end.
/// The lock is held at the return only in that case. `daemon` is whether the job that has ended was
/// a daemon's.
bool ThreadGroup::State::next_job(std::unique_lock<std::mutex>& lock, std::unique_ptr<Job>& job,
                                  bool& daemon, WaitingThread& self) {
    if (!queue.empty()) {
        job = std::move(queue.front());
        queue.pop_front();
        queued = queue.size();
        if (daemon != job->is_daemon()) become_daemon(job->is_daemon());
        announce_room(lock);
        return true;
    }
    if (closed || waiting.size() == most_waiting) return false;
    if (std::exchange(daemon, false)) --daemons;
    waiting.push_back(&self);
    if (room_listener.tell == nullptr) {
        lock.unlock();
    } else {
        announce_room(lock);
    }
    if (!self.sleep.sleep_until(std::chrono::steady_clock::now() + longest_wait)) {
        lock.lock();
        // If another thread took this one from the list at the last moment, a job is coming.
        if (std::erase(waiting, &self) > 0) return false;
        lock.unlock();
        self.sleep.sleep_until(std::chrono::steady_clock::time_point::max());
    }
    job = std::move(self.job);
    if (job == nullptr) lock.lock();  // woken by close()
    return job != nullptr;
}

void ThreadGroup::State::become_daemon(bool daemon) {
    if (daemon) {
        ++daemons;
        gone.notify_all();  // join() waits no longer for this thread
    } else {
        --daemons;
    }
}

/// Releases the lock, because the listener takes locks of its own.
void ThreadGroup::State::announce_room(std::unique_lock<std::mutex>& lock) {
    if (room_listener.tell == nullptr) return lock.unlock();
    const RoomListener listener = std::exchange(room_listener, {});
    lock.unlock();
    listener.tell(listener.whom);
}

void ThreadGroup::State::leave(std::unique_lock<std::mutex>& lock, bool daemon) {
    --threads;
    if (daemon) --daemons;
    std::optional<pthread_t> former;
    if (daemon && closed) {
        // There may be no thread left that could join this one.
        ::pthread_detach(::pthread_self());
    } else {
        former = std::exchange(last, ::pthread_self());
        gone.notify_all();
    }
    announce_room(lock);
    if (former) ::pthread_join(*former, nullptr);
}

/// Ends the thread although there may be jobs in the queue; another thread takes its place.
void ThreadGroup::State::leave_at_once(bool daemon) {
    std::unique_lock lock{mutex};
    if (!queue.empty()) {
        int error = start_first_queued();
        // If there is no thread that would ever serve the queued requests, they are closed. A new
        // request may come meanwhile, and get a thread.
        while (error != 0 && threads == 1 && !queue.empty()) {
            std::unique_ptr<Job> lost = std::move(queue.front());
            queue.pop_front();
            lock.unlock();
            lost.reset();  // this takes other locks
            lock.lock();
            if (!queue.empty()) error = start_first_queued();
        }
        queued = queue.size();
    }
    leave(lock, daemon);
}

void ThreadGroup::close() noexcept {
    if (state_->is_copy()) return;
    const std::lock_guard lock{state_->mutex};
    state_->closed = true;
    for (WaitingThread* thread : std::exchange(state_->waiting, {})) thread->sleep.wake();
}

void ThreadGroup::join() noexcept {
    if (state_->is_copy()) return;
    std::unique_lock lock{state_->mutex};
    state_->gone.wait(lock, [&] { return state_->threads == state_->daemons; });
    const std::optional<pthread_t> former = std::exchange(state_->last, std::nullopt);
    lock.unlock();
    if (former) ::pthread_join(*former, nullptr);
}

bool ThreadGroup::has_daemons() const noexcept {
    const std::lock_guard lock{state_->mutex};
    return state_->daemons > 0;
}

std::size_t ThreadGroup::threads() const noexcept { return state_->threads; }

std::size_t ThreadGroup::queued() const noexcept { return state_->queued; }

}  // namespace socketserver::detail
