// SPDX-License-Identifier: MIT
#include "policy/fibers/scheduler.hpp"

#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

#include "os/sys.hpp"
#include "policy/fibers/prefetch.hpp"
#include "policy/fibers/stack_overflow.hpp"

namespace socketserver::detail {

namespace {

/// The size of a Fiber object in whole cache lines. The stack frames begin below it.
constexpr std::size_t fiber_size = (sizeof(Fiber) + cache_line - 1) / cache_line * cache_line;

/// Prefetches the part of the stack that a fiber will use when it continues. With thousands of
/// fibers none of it is in the cache, and the kernel's work for the fiber before takes long enough
/// to fetch it.
void prefetch_stack(const Fiber& fiber) noexcept {
    constexpr std::size_t most_lines = 20;
    const auto top = reinterpret_cast<std::uintptr_t>(&fiber + 1);
    const auto frames = reinterpret_cast<std::uintptr_t>(fiber.context.point);
    prefetch(fiber.context.point, std::min((top - frames) / cache_line + 1, most_lines));
    prefetch(fiber.request.get(), 2);
}

// The handler of SIGSEGV reads this variable in any thread. In a library that is loaded at run time
// the first read in a thread would allocate memory, unless the variable has a fixed place
// (initial-exec).
#ifdef __GLIBC__
[[gnu::tls_model("initial-exec")]]
#endif
constinit thread_local Scheduler* scheduler_of_this_thread = nullptr;

}  // namespace

Scheduler* Scheduler::here() noexcept { return scheduler_of_this_thread; }

/// A forked child has only the fiber that called fork(), and shares the epoll set with the parent.
/// A wait on that set would take the parent's events. So the child leaves the scheduler, and waits
/// in the kernel.
void Scheduler::leave_in_forked_children() {
    static const int error = ::pthread_atfork(nullptr, nullptr, [] {
        if (std::exchange(scheduler_of_this_thread, nullptr) != nullptr) current().io = nullptr;
    });
    if (error != 0) throw std::system_error(error, std::system_category(), "prepare for forks");
}

Scheduler::Scheduler(std::size_t stack_size, BlockingPool& blocking, IdleSignal& idle,
                     std::atomic<std::size_t>& fibers)
    : stacks_{stack_size},
      own_pool_{own_stack_size, 1},
      own_stack_{own_pool_.take()},
      blocking_{blocking},
      idle_{idle},
      fibers_{fibers} {
    leave_in_forked_children();
    timers_.make_room(1);  // the main fiber's
    registrations_ = new Registrations{*this};
    epoll_ = sys::calls.epoll_create1(EPOLL_CLOEXEC);
    output_epoll_ = sys::calls.epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events =
        EPOLLIN | EPOLLET;  // each wake() and each expiry is an edge, so nothing has to be read
    epoll_event of_outputs{};
    of_outputs.events = EPOLLIN;
    of_outputs.data.u64 = output_record_.tag();
    timer_ = sys::calls.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (epoll_ == -1 || output_epoll_ == -1 || timer_ == -1 ||
        sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, mailbox_.fileno(), &event) == -1 ||
        sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) == -1 ||
        sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, output_epoll_, &of_outputs) == -1) {
        const int error = errno;
        for (const int fd : {epoll_, output_epoll_, timer_}) {
            if (fd != -1) sys::calls.close(fd);
        }
        registrations_->close();
        throw std::system_error(error, std::system_category(), "create an epoll set");
    }
    main_.is_main = true;
}

Scheduler::~Scheduler() {
    for (FdRecord* record : polled_) registrations_->give_back(*record);
    registrations_->close();
    for (const int fd : {timer_, output_epoll_, epoll_}) sys::calls.close(fd);
}

void Scheduler::run(const std::function<void()>& main) {
    const OverflowReport overflow_report;
    exceptions_ = &ExceptionState::of_this_thread();
    BlockingIo* const outer_io = std::exchange(current().io, this);
    Scheduler* const outer = std::exchange(scheduler_of_this_thread, this);
    base_serving_ = current().serving;
    running_ = &main_;
    operations_left_ = operations_in_a_row;
    adopt_thread(main_.context);
    make_context(loop_, own_stack_.bottom, own_stack_.top, loop_main, this);

    main();

    ending_ = true;
    while (live_ != nullptr) suspend(never, false);
    shared_stack_.end(main_.context);
    main_.ended = true;
    const ExceptionState of_caller = *exceptions_;
    switch_context(main_.context, loop_);
    *exceptions_ = of_caller;
    destroy_context(loop_);
    timers_.remove(main_);
    running_ = nullptr;
    scheduler_of_this_thread = outer;
    current().io = outer_io;
}

void Scheduler::loop_main(void* self) { static_cast<Scheduler*>(self)->loop(); }

/// Compiled flat, because a return is slow after a switch as it is after a system call: see
/// Socket::transmit().
[[gnu::flatten]] void Scheduler::loop() {
    // The first switch to here is the first wait of the main fiber.
    main_.exceptions = std::exchange(*exceptions_, {});
    main_.serving = current().serving;
    main_.serves_request = current().request;
    for (;;) {
        for (std::size_t left = ready_.size(); left > 0; --left) {
            Fiber& fiber = ready_.pop();
            if (!ready_.empty()) prefetch_stack(ready_.first());
            resume(fiber);
        }
        if (main_.ended) leave_for_good(loop_, main_.context);
        wait_for_events();
        if (mailbox_.has_mail()) read_mail();
        if (registrations_->has_foreign()) registrations_->collect();
    }
}

void Scheduler::resume(Fiber& fiber) noexcept {
    running_ = &fiber;
    operations_left_ = operations_in_a_row;
    Current& here = current();
    here.serving = fiber.serving;
    here.request = fiber.serves_request;
    *exceptions_ = fiber.exceptions;
    if (slice_watch_.is_enabled()) slice_watch_.begin(fiber.request.get());
    switch_context(loop_, fiber.context);
    if (slice_watch_.is_enabled()) slice_watch_.end();
    if (fiber.ended) {
        *exceptions_ = {};
        if (!fiber.is_main) bury(fiber);
        return;
    }
    fiber.exceptions = std::exchange(*exceptions_, {});
    fiber.serving = here.serving;
    fiber.serves_request = here.request;
}

void Scheduler::spawn(std::unique_ptr<RequestJob>& request) {
    timers_.make_room(live_count_ + 2);  // the main fiber's, and the new one's
    const StackPool::Stack stack = stacks_.take();
    // With equal offsets in the page, a thousand stacks would share the few sets of the cache to
    // which this offset maps. The first page still has room for the frames of an idle handler.
    constexpr unsigned colors = 32;
    char* top = stack.top - fiber_size - cache_line * (color_++ % colors);
    auto* fiber = new (top) Fiber{};
    fiber->request = std::move(request);
    fiber->stack = stack;
    fiber->serving = base_serving_;
    make_context(fiber->context, stack.bottom, top, fiber_main, fiber);
    link(*fiber);
    ++fibers_;
    ready_.push(*fiber);
}

void Scheduler::fiber_main(void* argument) {
    auto& fiber = *static_cast<Fiber*>(argument);
    // The caller of pthread_exit() wants to end its thread, which is the fiber here. If this
    // destructor returned, the unwinding would go on into the stack of the thread.
    struct End {
        Fiber& fiber;
        ~End() { end(fiber); }
    } const at_end{fiber};
    fiber.request->run();
}

void Scheduler::end(Fiber& fiber) noexcept {
    if (here() == nullptr) ::_exit(0);  // a forked child, which has nothing else to run
    Scheduler& self = *here();
    if (self.slice_watch_.is_enabled()) self.slice_watch_.end();
    fiber.request.reset();
    fiber.ended = true;
    leave_for_good(fiber.context, self.loop_);
}

void Scheduler::bury(Fiber& fiber) noexcept {
    if (fiber.position != Timer::none) timers_.remove(fiber);
    unlink(fiber);
    destroy_context(fiber.context);
    const StackPool::Stack stack = fiber.stack;
    fiber.~Fiber();
    stacks_.give_back(stack);
    --fibers_;
    take_load();
    if (live_ == nullptr && ending_) end_wait(main_, Wake::ready);
}

void Scheduler::link(Fiber& fiber) noexcept {
    fiber.next_live = live_;
    if (live_ != nullptr) live_->previous_live = &fiber;
    live_ = &fiber;
    ++live_count_;
}

void Scheduler::unlink(Fiber& fiber) noexcept {
    (fiber.previous_live != nullptr ? fiber.previous_live->next_live : live_) = fiber.next_live;
    if (fiber.next_live != nullptr) fiber.next_live->previous_live = fiber.previous_live;
    --live_count_;
}

Wake Scheduler::suspend(TimePoint until, bool may_be_cancelled) noexcept {
    Fiber& fiber = *running_;
    if (may_be_cancelled && refuses()) return Wake::cancelled;
    if (until != never) timers_.ensure(fiber, until);
    fiber.deadline = until;
    fiber.may_be_cancelled = may_be_cancelled;
    fiber.waits = true;
    switch_context(fiber.context, loop_);
    return fiber.wake;
}

Wake Scheduler::park(TimePoint until, bool may_be_cancelled) noexcept {
    Fiber& fiber = *running_;
    while (!fiber.unparked) {
        const Wake wake = suspend(until, may_be_cancelled);
        if (!fiber.unparked && (wake == Wake::timeout || wake == Wake::cancelled)) return wake;
    }
    fiber.unparked = false;
    return Wake::unparked;
}

void Scheduler::yield() {
    ready_.push(*running_);
    switch_context(running_->context, loop_);
}

void Scheduler::release_stack() noexcept {
    if (!running_->is_main) StackPool::release_below_caller(running_->stack);
}

void Scheduler::call_on_shared_stack(void (*work)(void*) noexcept, void* argument) {
    if (running_->is_main) return work(argument);
    shared_stack_.call(running_->context, work, argument);
}

void Scheduler::cancel() noexcept {
    cancelled_ = true;
    for (Fiber* fiber = live_; fiber != nullptr; fiber = fiber->next_live) {
        if (fiber->may_be_cancelled) end_wait(*fiber, Wake::cancelled);
    }
}

void Scheduler::start_posted() {
    while (!finished_ || !posted_.empty()) {
        if (posted_.empty()) {
            waits_for_mail_ = true;
            suspend(never, false);
            waits_for_mail_ = false;
        }
        while (!posted_.empty()) {
            std::unique_ptr<RequestJob> request = posted_.pop();
            start(request);
        }
    }
}

void Scheduler::start(std::unique_ptr<RequestJob>& request) {
    try {
        spawn(request);
    } catch (...) {
        request->fail(std::current_exception());
        request.reset();
        take_load();
    }
}

}  // namespace socketserver::detail
