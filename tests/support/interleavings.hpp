// SPDX-License-Identifier: MIT
// Runs a few threads in every order of their steps, one order after the other.
//
// The threads are contexts of one thread of the system. They change only where one of them uses an
// atomic, a mutex or another means of `ModelPlatform`, which takes the place of detail::Platform in
// the class that is tested. So an order is a list of choices, and all lists are tried, depth first.
// What is tried is sequentially consistent: a memory order that is too weak is not found.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>
#include <ucontext.h>

namespace socketserver::tests {

class Interleavings {
  public:
    using Body = std::function<void()>;
    /// Threads, and what must hold when all of them have ended.
    struct Scenario {
        std::vector<Body> threads;
        Body end = [] {};
    };

    /// @param preemptions how often, in one order, a thread is left that could go on.
    explicit Interleavings(int preemptions) : most_preemptions_{preemptions} {}
    Interleavings(const Interleavings&) = delete;
    Interleavings& operator=(const Interleavings&) = delete;

    /// Tries every order. `make` makes the scenario, with its objects, anew for each.
    ///
    /// @return the first fault, or nothing.
    std::string explore(const std::function<Scenario()>& make) {
        here = this;
        orders_ = 0;
        choices_.clear();
        do {
            ++orders_;
            run(make());
        } while (fault_.empty() && next_order());
        here = nullptr;
        if (fault_.empty()) return {};
        std::string order;
        for (const int thread : trace_) order += " " + std::to_string(thread);
        return fault_ + "; the threads took their steps in the order" + order;
    }
    /// How many were tried.
    long orders() const { return orders_; }

    /// @name For the threads, and the means that they use
    /// @{

    /// Another thread may come first. Outside of the threads this does nothing.
    static void step() {
        if (is_in_thread()) here->schedule();
    }
    /// The thread goes on when that is true. Without other threads it must be true.
    static void wait_until(const std::function<bool()>& condition) {
        if (!is_in_thread()) {
            if (!condition()) note_fault("the last thread waits for ever");
            return;
        }
        here->threads_[here->current_]->condition = condition;
        here->schedule();
    }
    /// The thread goes on when another one has changed something.
    static void pause() {
        wait_until([before = changes] { return changes != before; });
    }
    /// The thread ends, wherever it is then, in so many steps.
    static void die_in(int steps) { here->threads_[here->current_]->steps_left = steps; }
    /// The number of the thread; -1 outside of the threads.
    static int self() { return is_in_thread() ? static_cast<int>(here->current_) : -1; }
    static bool has_died(int thread) {
        return here != nullptr && thread >= 0 &&
               here->threads_[static_cast<std::size_t>(thread)]->steps_left == 0;
    }
    static void require(bool condition, const char* text) {
        if (!condition) note_fault(text);
    }
    static inline std::uint64_t changes = 0;
    /// @}

  private:
    static constexpr std::size_t stack_size = 64 * 1024;
    static constexpr int most_steps = 2'000;  // more of them are a loop without an end

    struct Thread {
        ucontext_t context{};
        std::unique_ptr<std::array<char, stack_size>> stack =
            std::make_unique<std::array<char, stack_size>>();
        Body body;
        std::function<bool()> condition;
        bool has_ended = false;
        int steps_left = -1;  // before it dies; negative: it does not
    };
    struct Choice {
        int taken;
        int count;
    };

    static bool is_in_thread() { return here != nullptr && here->is_running_; }
    static void note_fault(const std::string& text) {
        if (here->fault_.empty()) here->fault_ = text;
        if (!is_in_thread()) return;
        // The rest of the order, and what the threads own, is given up.
        ::swapcontext(&here->threads_[here->current_]->context, &here->explorer_);
    }

    static void enter() {
        Thread& self = *here->threads_[here->current_];
        self.body();
        self.has_ended = true;
        here->schedule();
        std::abort();  // it is never chosen again
    }

    void run(Scenario scenario) {
        depth_ = 0;
        preemptions_ = steps_ = 0;
        trace_.clear();
        threads_.clear();
        for (Body& body : scenario.threads) {
            Thread& thread = *threads_.emplace_back(std::make_unique<Thread>());
            thread.body = std::move(body);
            ::getcontext(&thread.context);
            thread.context.uc_stack.ss_sp = thread.stack->data();
            thread.context.uc_stack.ss_size = stack_size;
            thread.context.uc_link = nullptr;
            ::makecontext(&thread.context, &enter, 0);
        }
        is_running_ = true;
        current_ = static_cast<std::size_t>(next_choice(static_cast<int>(threads_.size())));
        trace_.push_back(static_cast<int>(current_));
        ::swapcontext(&explorer_, &threads_[current_]->context);
        is_running_ = false;
        if (fault_.empty()) scenario.end();
    }

    bool can_run(std::size_t index) const {
        const Thread& thread = *threads_[index];
        return !thread.has_ended && (!thread.condition || thread.condition());
    }

    /// Chooses who goes on, and goes there.
    void schedule() {
        if (++steps_ > most_steps) return note_fault("the threads do not end");
        Thread& self = *threads_[current_];
        if (self.steps_left > 0 && --self.steps_left == 0) self.has_ended = true;
        std::vector<std::size_t> ready;
        const bool goes_on = can_run(current_);
        if (goes_on) ready.push_back(current_);
        if (!goes_on || preemptions_ < most_preemptions_) {
            for (std::size_t i = 0; i < threads_.size(); ++i) {
                if (i != current_ && can_run(i)) ready.push_back(i);
            }
        }
        const std::size_t before = current_;
        if (ready.empty()) {
            for (const auto& thread : threads_) {
                if (!thread->has_ended) return note_fault("all threads wait for ever");
            }
            ::swapcontext(&threads_[before]->context, &explorer_);
        }
        const std::size_t next =
            ready[static_cast<std::size_t>(next_choice(static_cast<int>(ready.size())))];
        if (goes_on && next != before) ++preemptions_;
        current_ = next;
        threads_[next]->condition = nullptr;
        trace_.push_back(static_cast<int>(next));
        if (next != before) ::swapcontext(&threads_[before]->context, &threads_[next]->context);
    }

    int next_choice(int count) {
        if (count == 1) return 0;
        if (depth_ == choices_.size()) choices_.push_back({0, count});
        return choices_[depth_++].taken;
    }
    bool next_order() {
        while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().count) {
            choices_.pop_back();
        }
        if (choices_.empty()) return false;
        ++choices_.back().taken;
        return true;
    }

    static inline Interleavings* here = nullptr;

    const int most_preemptions_;
    std::vector<Choice> choices_;
    std::size_t depth_ = 0;
    int preemptions_ = 0;
    int steps_ = 0;
    long orders_ = 0;
    std::vector<int> trace_;
    std::vector<std::unique_ptr<Thread>> threads_;
    std::size_t current_ = 0;
    bool is_running_ = false;
    ucontext_t explorer_{};
    std::string fault_;
};

/// Takes the place of detail::Platform.
struct ModelPlatform {
    template <class T>
    class Atomic {
      public:
        constexpr Atomic() = default;
        constexpr Atomic(T value) : value_{value} {}  // NOLINT: implicit, as std::atomic's
        Atomic(const Atomic&) = delete;
        Atomic& operator=(const Atomic&) = delete;

        T load(std::memory_order = std::memory_order_seq_cst) const {
            Interleavings::step();
            return value_;
        }
        operator T() const { return load(); }  // NOLINT: implicit, as std::atomic's
        void store(T value, std::memory_order = std::memory_order_seq_cst) { exchange(value); }
        T operator=(T value) {  // NOLINT: returns the value, as std::atomic's
            store(value);
            return value;
        }
        T exchange(T value, std::memory_order = std::memory_order_seq_cst) {
            Interleavings::step();
            return change(value);
        }
        bool compare_exchange_strong(T& expected, T value,
                                     std::memory_order = std::memory_order_seq_cst) {
            Interleavings::step();
            if (value_ != expected) {
                expected = value_;
                return false;
            }
            change(value);
            return true;
        }
        bool compare_exchange_weak(T& expected, T value,
                                   std::memory_order order = std::memory_order_seq_cst) {
            return compare_exchange_strong(expected, value, order);
        }
        T operator++() {
            Interleavings::step();
            return change(value_ + 1) + 1;
        }
        T operator--() {
            Interleavings::step();
            return change(value_ - 1) - 1;
        }

      private:
        T change(T value) {
            ++Interleavings::changes;
            return std::exchange(value_, value);
        }
        T value_{};
    };

    class Mutex {
      public:
        void lock() {
            Interleavings::step();
            Interleavings::wait_until([this] { return !is_locked_; });
            is_locked_ = true;
        }
        void unlock() {
            is_locked_ = false;
            Interleavings::step();
        }

      private:
        bool is_locked_ = false;
    };
    /// May be taken from one that has died.
    class SharedMutex {
      public:
        template <class Repair>
        void lock(Repair repair) {
            Interleavings::step();
            Interleavings::wait_until(
                [this] { return !is_locked_ || Interleavings::has_died(owner_); });
            if (std::exchange(is_locked_, true)) repair();
            owner_ = Interleavings::self();
        }
        void unlock() {
            is_locked_ = false;
            Interleavings::step();
        }

      private:
        bool is_locked_ = false;
        int owner_ = -1;
    };

    class Waker {
      public:
        Waker() : number_{wakers.size()} { wakers.push_back(this); }
        Waker(const Waker&) = delete;
        Waker& operator=(const Waker&) = delete;
        ~Waker() { wakers[number_] = nullptr; }
        void wake() {
            Interleavings::step();
            is_readable_ = true;
        }
        int fileno() const { return static_cast<int>(number_); }

      private:
        friend struct ModelPlatform;
        const std::size_t number_;
        bool is_readable_ = false;
    };
    /// Waits for a wake-up, which is an edge.
    static void wait_readable(int descriptor) {
        Waker& waker = *wakers.at(static_cast<std::size_t>(descriptor));
        Interleavings::wait_until([&] { return waker.is_readable_; });
        waker.is_readable_ = false;
    }

    static pid_t process() { return pid; }
    static void pause() { Interleavings::pause(); }
    /// Without a step between the look at the word and the sleep. If there is a time limit, it may
    /// be over at any moment.
    static bool wait(const Atomic<std::uint32_t>& word, std::uint32_t value,
                     std::chrono::steady_clock::time_point until) {
        if (word.load() != value) return true;
        const auto is_woken = [before = wakes] { return wakes != before; };
        if (until == std::chrono::steady_clock::time_point::max()) {
            Interleavings::wait_until(is_woken);
        } else {
            Interleavings::step();
        }
        return is_woken();
    }
    static void wake(const Atomic<std::uint32_t>&) {
        Interleavings::step();
        ++wakes;
    }

    static inline pid_t pid = 1;
    static inline std::vector<Waker*> wakers;
    static inline std::uint64_t wakes = 0;
};

}  // namespace socketserver::tests
