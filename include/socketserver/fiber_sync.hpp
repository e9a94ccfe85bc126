// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/detail/policy/fibers/wait_list.hpp"

/// @file
/// Synchronisation between handlers: between fibers of one or of several workers, and threads. A
/// fiber that waits here does not block its worker. For a critical section in which nothing waits,
/// std::mutex is enough.
namespace socketserver {

/// A mutex like std::mutex that suspends a waiting fiber, and that is fair: the one that has waited
/// the longest gets it. Use it with std::lock_guard and std::unique_lock.
///
/// Thread safety: all members may be called from any fiber of any worker, and from any thread.
class SOCKETSERVER_EXPORT Mutex {
  public:
    Mutex();
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;
    ~Mutex();

    /// Locks it; waits until it is free. A stop of the server does not end the wait. It ends the
    /// waits of the fiber that holds the mutex, which then unlocks it.
    void lock();
    /// Locks it if it is free. Does not wait.
    bool try_lock();
    /// Unlocks it, or passes it to the fiber or thread that has waited the longest.
    void unlock();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A condition variable like std::condition_variable, for Mutex. A wait in a fiber throws
/// Cancelled, with the mutex locked again, when its server is stopped.
///
/// Thread safety: all members may be called from any fiber of any worker, and from any thread.
class SOCKETSERVER_EXPORT ConditionVariable {
  public:
    ConditionVariable();
    ConditionVariable(const ConditionVariable&) = delete;
    ConditionVariable& operator=(const ConditionVariable&) = delete;
    ~ConditionVariable();

    /// Waits until it is notified. May also return without a notification (a spurious wakeup).
    void wait(std::unique_lock<Mutex>& lock) { wait_until(lock, detail::never); }
    /// Waits until the predicate, which is called with the mutex locked, is true.
    template <class Predicate>
    void wait(std::unique_lock<Mutex>& lock, Predicate predicate) {
        while (!predicate()) wait(lock);
    }
    /// The same, at most until the given time. Returns false if the time is over.
    bool wait_until(std::unique_lock<Mutex>& lock, std::chrono::steady_clock::time_point until);
    /// Waits until the predicate is true, for at most `time`. Returns the predicate.
    template <class Predicate>
    bool wait_for(std::unique_lock<Mutex>& lock, std::chrono::nanoseconds time,
                  Predicate predicate) {
        const detail::TimePoint until = detail::deadline_after(time);
        while (!predicate()) {
            if (!wait_until(lock, until)) return predicate();
        }
        return true;
    }

    /// Wakes one waiting fiber or thread.
    void notify_one() noexcept;
    /// Wakes all waiting fibers and threads.
    void notify_all() noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A flag that one fiber or thread sets and others wait for. Mirrors `threading.Event`.
///
/// Thread safety: all members may be called from any fiber of any worker, and from any thread;
/// set() and clear() never suspend. A wait in a fiber throws Cancelled when its server is stopped.
/// select() waits for an event and for other things.
class Event {
  public:
    /// Whether the event is set at this moment.
    bool is_set() const {
        const std::lock_guard lock{mutex_};
        return is_set_;
    }
    /// Sets the event, and wakes everybody who waits for it.
    void set() {
        const std::lock_guard lock{mutex_};
        is_set_ = true;
        waiting_.unpark_all();
    }
    /// Clears the event: a wait that begins from now on waits for the next set().
    void clear() {
        const std::lock_guard lock{mutex_};
        is_set_ = false;
    }
    /// Waits until it is set.
    void wait() {
        std::unique_lock lock{mutex_};
        while (!is_set_) waiting_.wait(lock, detail::never);
    }
    /// The same, for at most `time`. Returns false if the event was not set within it.
    bool wait_for(std::chrono::nanoseconds time) {
        const detail::TimePoint until = detail::deadline_after(time);
        std::unique_lock lock{mutex_};
        while (!is_set_ && waiting_.wait(lock, until)) {
        }
        return is_set_;
    }

    /// @name For select()
    /// @{

    /// Begins to tell `watch` when it may be ready; returns whether it is already.
    bool begin_watch(detail::Watch& watch) {
        const std::lock_guard lock{mutex_};
        if (!is_set_) waiting_.watches().add(watch);
        return is_set_;
    }
    /// Ends that.
    void end_watch(detail::Watch& watch) noexcept {
        const std::lock_guard lock{mutex_};
        waiting_.watches().remove(watch);
    }
    /// @}

  private:
    mutable std::mutex mutex_;  // nobody waits with it
    detail::WaitList waiting_;
    bool is_set_ = false;
};

/// Hands values from some fibers or threads to others, in order. Mirrors `queue.Queue`.
///
/// A queue with a capacity makes push() wait while it is full. close() ends it: what is in it can
/// still be taken. A wait in a fiber throws Cancelled when its server is stopped.
///
/// Thread safety: all members may be called from any fiber of any worker, and from any thread.
/// Functions that never wait do not suspend the fiber, so they may be called while a std::mutex is
/// held: push() to a queue without a capacity, try_pop() and close(). select() waits for a queue
/// and for other things.
template <class T>
class Queue {
  public:
    /// @param capacity how many values the queue holds at most.
    explicit Queue(std::size_t capacity = (std::numeric_limits<std::size_t>::max)())
        : capacity_{capacity} {}

    /// Adds a value; waits while the queue is full. Returns false if the queue is closed; the value
    /// is then not added.
    bool push(T value) {
        std::unique_lock lock{mutex_};
        while (!closed_ && values_.size() >= capacity_) not_full_.wait(lock, detail::never);
        if (closed_) return false;
        values_.push_back(std::move(value));
        not_empty_.unpark_one();
        return true;
    }

    /// Waits for a value and takes it. Returns nothing if the queue is closed and empty.
    std::optional<T> pop() {
        std::unique_lock lock{mutex_};
        while (!closed_ && values_.empty()) not_empty_.wait(lock, detail::never);
        return take();
    }

    /// The same, for at most `time`. Returns nothing also if no value came within it.
    std::optional<T> pop_for(std::chrono::nanoseconds time) {
        const detail::TimePoint until = detail::deadline_after(time);
        std::unique_lock lock{mutex_};
        while (!closed_ && values_.empty() && not_empty_.wait(lock, until)) {
        }
        return take();
    }

    /// Does what pop() does, without waiting. Returns nothing if the queue is empty.
    std::optional<T> try_pop() {
        const std::lock_guard lock{mutex_};
        return take();
    }

    /// Closes the queue: push() adds no more values, and all waits end. The values that are in the
    /// queue can still be taken. Idempotent.
    void close() {
        const std::lock_guard lock{mutex_};
        closed_ = true;
        not_empty_.unpark_all();
        not_full_.unpark_all();
    }

    /// @name For select()
    /// @{

    /// Begins to tell `watch` when it may be ready; returns whether it is already.
    bool begin_watch(detail::Watch& watch) {
        const std::lock_guard lock{mutex_};
        if (closed_ || !values_.empty()) return true;
        not_empty_.watches().add(watch);
        return false;
    }
    /// Ends that.
    void end_watch(detail::Watch& watch) noexcept {
        const std::lock_guard lock{mutex_};
        not_empty_.watches().remove(watch);
    }
    /// @}

  private:
    std::optional<T> take() {
        if (values_.empty()) return {};
        std::optional<T> value{std::move(values_.front())};
        values_.pop_front();
        not_full_.unpark_one();
        return value;
    }

    const std::size_t capacity_;
    std::mutex mutex_;  // nobody waits with it: a Mutex would suspend the fiber that wants it
    detail::WaitList not_empty_;
    detail::WaitList not_full_;
    std::deque<T> values_;
    bool closed_ = false;
};

}  // namespace socketserver
