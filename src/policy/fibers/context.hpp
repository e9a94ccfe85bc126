// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// Execution contexts, and the switch from one to another. The switch is the assembler routine of
// Boost.Context, with the calls by which the sanitizers are told of it.
//
// Boost.Fiber would bring a scheduler as well, and cannot be used, for two reasons:
// - Sanitizers must be told of a switch right before it and right after it. Boost.Fiber switches
// inside its compiled library, which distributions build without these calls, and has no hook for a
// scheduling algorithm after the switch.
// - It keeps an object of several hundred bytes at the top of each stack and suspends in deep
//   frames below it: with a handler, an idle client then takes two pages of stack instead of one.
namespace socketserver::detail {

/// An execution on a stack of its own or, if default-constructed, the execution of a thread.
struct Context {
    void* point = nullptr;  ///< where it goes on; valid while it is not running
    void (*entry)(void* argument) = nullptr;
    void* argument = nullptr;
    bool is_over = false;  ///< it is left for good
    // For the sanitizers only.
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
    void* asan_stack = nullptr;
    void* tsan_fiber = nullptr;
};

/// Tells the sanitizers that a stack is empty, whatever an earlier fiber, or an earlier mapping at
/// the same address, had on it.
void forget_former_use(void* stack_bottom, void* stack_top);
/// Prepares a context that calls `entry(argument)` at the first switch to it. `entry` must not
/// return; it ends with leave_for_good().
void make_context(Context& context, void* stack_bottom, void* stack_top,
                  void (*entry)(void* argument), void* argument);
/// Prepares the context of the running thread for a switch away from it.
void adopt_thread(Context& context);
/// Switches to `to`. Returns at the next switch to `from`.
void switch_context(Context& from, Context& to);
/// Switches to `to` and never returns.
[[noreturn]] void leave_for_good(Context& from, Context& to);
/// To be called after leave_for_good(). The stack may then be used again.
void destroy_context(Context& context);

}  // namespace socketserver::detail
