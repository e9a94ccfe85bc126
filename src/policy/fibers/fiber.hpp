// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>
#include <unwind.h>

#include <memory>

#include "policy/fibers/context.hpp"
#include "policy/fibers/stack_pool.hpp"
#include "policy/fibers/timer_queue.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"

#ifndef __GLIBCXX__
// libc++abi has this function, but does not declare it.
namespace __cxxabiv1 {
extern "C" void* __cxa_get_globals();
}
#endif

namespace socketserver::detail {

/// Why a wait ended.
enum class Wake : unsigned char { none, ready, unparked, timeout, cancelled, closed };

/// The exceptions that are being handled: the part of __cxa_eh_globals that belongs to an
/// execution. The C++ ABI keeps it for each thread, so each fiber needs its own copy while it waits
/// inside a catch block.
struct ExceptionState {
    static ExceptionState& of_this_thread() noexcept {
        return *reinterpret_cast<ExceptionState*>(__cxxabiv1::__cxa_get_globals());
    }

    void* caught = nullptr;
    unsigned uncaught = 0;
#ifdef __ARM_EABI_UNWINDER__  // 32-bit ARM
    void* propagating = nullptr;
#endif
};

/// One fiber. It lies at the top of its own stack, beside the first frames: an idle client touches
/// one page.
struct Fiber : Timer {
    // The first cache line holds what is needed to end a wait, and the pointers to what the fiber
    // will use.
    Fiber* next_ready = nullptr;
    std::unique_ptr<RequestJob> request;
    TimePoint deadline = never;  ///< of the current wait
    Wake wake = Wake::none;
    bool waits = false;
    bool may_be_cancelled = false;  ///< whether a stop ends the current wait
    bool unparked = false;          ///< unpark() was called, and the fiber has not seen it yet
    bool is_main = false;           ///< runs on the stack of the thread
    bool ended = false;
    Context context{};
    // The second cache line holds what each switch needs.
    ExceptionState exceptions{};
    const ServerMark* serving = nullptr;
    const ServerMark* serves_request = nullptr;

    Fiber* next_live = nullptr;
    Fiber* previous_live = nullptr;
    Fiber* next_unparked = nullptr;
    StackPool::Stack stack{};
};

/// A first-in-first-out queue. The link is a member of the fibers, so it needs no memory.
template <Fiber* Fiber::*next>
class FiberQueue {
  public:
    bool empty() const noexcept { return first_ == nullptr; }
    std::size_t size() const noexcept { return size_; }
    void push(Fiber& fiber) noexcept {
        fiber.*next = nullptr;
        (last_ != nullptr ? last_->*next : first_) = &fiber;
        last_ = &fiber;
        ++size_;
    }
    Fiber& first() const noexcept { return *first_; }
    Fiber& pop() noexcept {
        Fiber& fiber = *first_;
        first_ = fiber.*next;
        if (first_ == nullptr) last_ = nullptr;
        --size_;
        return fiber;
    }

  private:
    Fiber* first_ = nullptr;
    Fiber* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace socketserver::detail
