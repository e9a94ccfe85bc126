// SPDX-License-Identifier: MIT
#include "socketserver/detail/thread_group.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "futex.hpp"
#include "sys.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t most_waiting = 128;
constexpr std::chrono::seconds longest_wait{10};

/// One thread that waits for its next job. It sleeps on a word of its own, not under the lock of
/// the group: a condition variable would make it contend for that lock when it wakes.
struct Waiting {
    std::unique_ptr<Job> job;
    bool daemon = false;
    enum : std::uint32_t { awake, asleep, woken };
    std::atomic<std::uint32_t> state{awake};

    void wake() {
        if (state.exchange(woken, std::memory_order_acq_rel) == asleep) futex_wake(state);
    }
    /// False when the time is over first.
    bool sleep_until(std::chrono::steady_clock::time_point until) {
        std::uint32_t before = awake;
        if (!state.compare_exchange_strong(before, asleep, std::memory_order_acq_rel)) return true;
        while (futex_wait(state, asleep, until)) {
            if (state.load(std::memory_order_acquire) == woken) return true;
        }
        before = asleep;
        return !state.compare_exchange_strong(before, awake, std::memory_order_acq_rel);
    }
};

}  // namespace

Job::~Job() = default;

struct ThreadGroup::State : std::enable_shared_from_this<State> {
    mutable std::mutex mutex;
    std::condition_variable gone;
    std::vector<Waiting*> waiting;  // the last one waits for the shortest time: its cache is warm
    std::atomic<std::size_t> threads{0};  // written under the lock
    std::size_t daemons = 0;              // of these, the ones with a daemon's job
    std::optional<pthread_t> last;  // has gone and must still be joined; the next to go does it
    bool closed = false;
    const pid_t owner = ::getpid();

    /// A forked child has a copy of this and none of the threads.
    bool is_copy() const { return ::getpid() != owner; }

    struct Start {
        std::shared_ptr<State> state;
        std::unique_ptr<Job> job;
        bool daemon;
    };

    static void* thread_main(void* argument);
    void work(std::unique_ptr<Job> job, bool daemon);
    bool wait_for_job(std::unique_lock<std::mutex>& lock, Waiting& self);
    void leave(std::unique_lock<std::mutex>& lock, bool daemon);
};

ThreadGroup::ThreadGroup() : state_{std::make_shared<State>()} {}

ThreadGroup::~ThreadGroup() {
    close();
    join();
}

void ThreadGroup::run(std::unique_ptr<Job>& job, bool daemon) {
    {
        std::unique_lock lock{state_->mutex};
        if (!state_->waiting.empty()) {
            Waiting& thread = *state_->waiting.back();
            state_->waiting.pop_back();
            thread.job = std::move(job);
            thread.daemon = daemon;
            if (daemon) ++state_->daemons;
            lock.unlock();
            // It no longer stands among the waiting, so it stays until it is woken.
            thread.wake();
            return;
        }
        ++state_->threads;
        if (daemon) ++state_->daemons;
    }
    auto start = std::make_unique<State::Start>(State::Start{state_, std::move(job), daemon});
    pthread_t thread{};
    const int error = sys::calls.pthread_create(&thread, nullptr, State::thread_main, start.get());
    if (error == 0) {
        start.release();  // NOLINT(bugprone-unused-return-value): the thread owns it now
        return;
    }
    job = std::move(start->job);
    const std::lock_guard lock{state_->mutex};
    --state_->threads;
    if (daemon) --state_->daemons;
    throw std::system_error(error, std::system_category(), "create a thread for a request");
}

void* ThreadGroup::State::thread_main(void* argument) {
    const std::unique_ptr<Start> start{static_cast<Start*>(argument)};
    start->state->work(std::move(start->job), start->daemon);
    return nullptr;
}

void ThreadGroup::State::work(std::unique_ptr<Job> job, bool daemon) {
    Waiting self;
    for (;;) {
        job->run();
        job.reset();
        std::unique_lock lock{mutex};
        if (closed || waiting.size() == most_waiting) return leave(lock, daemon);
        if (std::exchange(daemon, false)) --daemons;
        if (!wait_for_job(lock, self)) return leave(lock, false);
        job = std::move(self.job);
        daemon = self.daemon;
    }
}

/// False: no job came, the thread is to go. The lock is held then, and not otherwise.
bool ThreadGroup::State::wait_for_job(std::unique_lock<std::mutex>& lock, Waiting& self) {
    self.state.store(Waiting::awake, std::memory_order_relaxed);
    waiting.push_back(&self);
    lock.unlock();
    if (!self.sleep_until(std::chrono::steady_clock::now() + longest_wait)) {
        lock.lock();
        const auto place = std::find(waiting.begin(), waiting.end(), &self);
        if (place != waiting.end()) {
            waiting.erase(place);
            return false;
        }
        // Taken from the list at the last moment: the job is on its way.
        lock.unlock();
        self.sleep_until(std::chrono::steady_clock::time_point::max());
    }
    if (self.job != nullptr) return true;
    lock.lock();  // woken by close()
    return false;
}

void ThreadGroup::State::leave(std::unique_lock<std::mutex>& lock, bool daemon) {
    --threads;
    if (daemon) --daemons;
    if (daemon && closed) {
        // Nobody may be there any more to join it.
        ::pthread_detach(::pthread_self());
        return;
    }
    const std::optional<pthread_t> former = std::exchange(last, ::pthread_self());
    gone.notify_all();
    lock.unlock();
    if (former) ::pthread_join(*former, nullptr);
}

void ThreadGroup::close() noexcept {
    if (state_->is_copy()) return;
    const std::lock_guard lock{state_->mutex};
    state_->closed = true;
    for (Waiting* thread : std::exchange(state_->waiting, {})) thread->wake();
}

void ThreadGroup::join() noexcept {
    if (state_->is_copy()) return;
    std::unique_lock lock{state_->mutex};
    state_->gone.wait(lock, [&] { return state_->threads == state_->daemons; });
    const std::optional<pthread_t> former = std::exchange(state_->last, std::nullopt);
    lock.unlock();
    if (former) ::pthread_join(*former, nullptr);
}

std::size_t ThreadGroup::size() const noexcept {
    return state_->threads.load(std::memory_order_relaxed);
}

bool ThreadGroup::has_daemons() const noexcept {
    const std::lock_guard lock{state_->mutex};
    return state_->daemons > 0;
}

}  // namespace socketserver::detail
