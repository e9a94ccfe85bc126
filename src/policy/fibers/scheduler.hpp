// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <sys/epoll.h>

#include "policy/fibers/fiber.hpp"
#include "policy/fibers/mailbox.hpp"
#include "policy/fibers/registrations.hpp"
#include "policy/fibers/shared_stack.hpp"
#include "policy/fibers/slice_watch.hpp"
#include "policy/fibers/stack_pool.hpp"
#include "policy/fibers/timer_queue.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

class BlockingPool;

/// Signals that a scheduler has no request left, while a thread waits for that.
struct IdleSignal {
    std::atomic<bool> wanted{false};
    Waker waker;
};

/// Runs the fibers of one thread, and is the carrier of their I/O. Fibers never change the thread.
///
/// It works in rounds. In each round every fiber that is ready runs until it waits. Then the
/// scheduler asks the kernel what became ready; it waits for that only if no fiber is ready. A
/// fiber whose operations never have to wait yields after `operations_in_a_row` operations. So
/// neither connections nor accepting starve.
///
/// Thread safety: members may be called only in the thread of run(), except those that say
/// otherwise.
class Scheduler final : public BlockingIo {
  public:
    /// @param fibers the counter of all fibers, which other schedulers use as well.
    Scheduler(std::size_t stack_size, BlockingPool& blocking, IdleSignal& idle,
              std::atomic<std::size_t>& fibers);
    ~Scheduler() override;

    /// The scheduler whose run() is active in the calling thread, or null.
    static Scheduler* here() noexcept;

    /// Runs `main` on the stack of the calling thread, as one of the fibers, and returns when it
    /// and all others have ended.
    void run(const std::function<void()>& main);

    /// @throws std::system_error or std::bad_alloc, with `request` untouched, if there is no stack
    ///         for it.
    void spawn(std::unique_ptr<RequestJob>& request);
    /// Spawns the request, or fails it if there is no stack. Its load has been added already.
    void start(std::unique_ptr<RequestJob>& request);
    /// Called in the `main` of run(): starts the requests that are posted, until finish().
    void start_posted();

    /// Suspends the running fiber.
    Wake suspend(TimePoint until, bool may_be_cancelled) noexcept;
    /// Suspends the running fiber until unpark(), but at most until the given time. Nothing else
    /// ends the wait.
    Wake park(TimePoint until, bool may_be_cancelled) noexcept;
    void end_wait(Fiber& fiber, Wake wake) noexcept {
        if (!fiber.waits) return;
        fiber.waits = false;
        fiber.wake = wake;
        ready_.push(fiber);
    }
    /// Called when the descriptor for which the fiber waits is gone. Has an effect also if the wait
    /// has ended and the fiber has not run since.
    void end_wait_of_closed(Fiber& fiber) noexcept {
        end_wait(fiber, Wake::closed);
        fiber.wake = Wake::closed;
    }
    Fiber& running() const noexcept { return *running_; }
    bool owns(const FdRecord& record) const noexcept { return record.owner == registrations_; }
    /// Ends every wait that may be cancelled, now and from now on.
    void cancel() noexcept;

    /// @name From any thread
    /// @{
    /// Posts a request, which start_posted() will start, and adds its load.
    void post(std::unique_ptr<RequestJob> request) noexcept;
    void post_cancel() noexcept;
    void finish() noexcept;
    void unpark(Fiber& fiber) noexcept;
    /// Makes the scheduler check what other threads have changed.
    void wake() noexcept;
    /// Takes the record out of its epoll set.
    void stop_watching(const FdRecord& record) const noexcept;
    /// How many requests it serves, or has been given to serve.
    std::size_t load() const noexcept { return load_.load(); }
    void add_load() noexcept { ++load_; }
    void take_load() noexcept {
        if (--load_ == 0 && idle_.wanted) idle_.waker.wake();
    }
    SliceWatch& slice_watch() noexcept { return slice_watch_; }
    /// @}

    std::ptrdiff_t recv(Channel& channel, void* data, std::size_t size, int flags) override;
    std::ptrdiff_t send(Channel& channel, const void* data, std::size_t size, int flags) override;
    bool may_receive(Channel& channel) override;
    int begin_operation() override;
    int wait(Channel& channel, Direction direction, TimePoint until) override;
    int wait_any(std::span<ChannelWait> waits, TimePoint until) override;
    int poll(pollfd* fds, std::size_t count, TimePoint until) override;
    void run_blocking(const std::function<void()>& work) override;
    void sleep_until(TimePoint until) override;
    void yield() override;
    void release_stack() noexcept override;
    void call_on_shared_stack(void (*work)(void*) noexcept, void* argument) override;

  private:
    static constexpr int operations_in_a_row = 64;
    /// The limit is low enough that the data of all events, with what the kernel needs for each,
    /// stays in the cache until they are served.
    static constexpr std::size_t events_in_a_row = 64;
    static constexpr std::size_t own_stack_size = 64UL * 1024;

    // scheduler.cpp: who runs
    static void loop_main(void* self);
    static void fiber_main(void* fiber);
    [[noreturn]] static void end(Fiber& fiber) noexcept;
    static void leave_in_forked_children();
    [[noreturn]] void loop();
    void resume(Fiber& fiber) noexcept;
    void bury(Fiber& fiber) noexcept;
    void link(Fiber& fiber) noexcept;
    void unlink(Fiber& fiber) noexcept;
    bool refuses() const noexcept { return cancelled_ && !running_->is_main; }

    // scheduler_events.cpp: what ends their waits
    void wait_for_events();
    void report(const epoll_event& event) noexcept;
    void report_output() noexcept;
    void end_waits(const FdRecord& record) noexcept;
    void arm_timer() noexcept;
    void expire_timers() noexcept;
    void read_mail();

    // scheduler_io.cpp: what they wait for
    /// The record behind a registration. Null if there is none, or if it belongs to another
    /// scheduler.
    FdRecord* record_of(Registration* registration) const noexcept {
        return registration != nullptr &&
                       static_cast<FdRecord*>(registration)->owner == registrations_
                   ? static_cast<FdRecord*>(registration)
                   : nullptr;
    }
    /// @param output_events for which events output is watched; for none, a hang-up is reported.
    FdRecord* register_channel(Channel& channel, Direction direction,
                               unsigned output_events = EPOLLOUT);
    int watch(const FdRecord& record, bool is_new,
              unsigned output_events = EPOLLOUT) const noexcept;
    int wait_a_little(TimePoint until);
    int begin_wait(ChannelWait& wait);
    bool was_reported(const ChannelWait& wait) noexcept;
    static bool confirm(const ChannelWait& wait) noexcept;
    static bool look_for_input(FdRecord& record) noexcept;
    static void leave_list(ChannelWait& wait) noexcept;
    bool watch_for_poll(std::span<const pollfd> entries);
    int take_ready(pollfd* fds, std::size_t count) noexcept;

    int epoll_ = -1;  // the epoll set of input, which contains the one of output
    int output_epoll_ = -1;
    FdRecord output_record_;   // the record of the output set in the input set
    int timer_ = -1;           // a timerfd in the epoll set
    TimePoint armed_ = never;  // the time to which the timer is set
    bool look_at_timers_ = false;
    ExceptionState* exceptions_ = nullptr;  // those of this thread
    Fiber* running_ = nullptr;
    int operations_left_ = 0;
    unsigned color_ = 0;
    bool cancelled_ = false;
    bool ending_ = false;

    FiberQueue<&Fiber::next_ready> ready_;
    TimerQueue timers_;
    Registrations* registrations_ = nullptr;  // closed, not deleted: sockets may outlive it
    std::vector<FdRecord*> polled_;  // what the main fiber polls, kept from one poll to the next
    StackPool stacks_;
    StackPool own_pool_;
    StackPool::Stack own_stack_;
    SharedStack shared_stack_;
    Fiber* live_ = nullptr;  // the list of all fibers except the main one
    std::size_t live_count_ = 0;
    Fiber main_;
    Context loop_;
    const ServerMark* base_serving_ = nullptr;
    BlockingPool& blocking_;
    IdleSignal& idle_;
    std::atomic<std::size_t>& fibers_;
    SliceWatch slice_watch_;
    std::array<epoll_event, events_in_a_row> events_{};

    SchedulerMailbox mailbox_;
    Mail being_read_;
    RequestQueue posted_;  // for start_posted()
    bool finished_ = false;
    bool waits_for_mail_ = false;  // whether the main fiber waits in start_posted()
    std::atomic<std::size_t> load_{0};
};

}  // namespace socketserver::detail
