// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// A point of execution that can be left and come back to, and the switch between two of them: the
// assembler routine of Boost.Context, and what the sanitizers must be told around it.
//
// Boost.Fiber would bring a scheduler as well, and cannot be used, for two reasons:
// - Sanitizers must be told of a switch right before it and right behind it. Boost.Fiber switches
//   inside its compiled library, which distributions build without the annotations, and gives a
//   scheduling algorithm no hook behind the switch.
// - It keeps an object of several hundred bytes at the top of each stack and suspends in deep
//   frames below it: with a handler, an idle client then takes two pages of stack instead of one.
namespace socketserver::detail {

/// An execution on a stack of its own, or (default-made) that of a thread.
struct Context {
    void* point = nullptr;  ///< where it goes on; valid while it is not running
    void (*entry)(void* argument) = nullptr;
    void* argument = nullptr;
    // For the sanitizers only.
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
    void* asan_stack = nullptr;
    void* tsan_fiber = nullptr;
};

/// Tells the sanitizers that nothing is left on a stack of what an earlier fiber, or an earlier
/// mapping at the same address, had there.
void forget_former_use(void* stack_bottom, void* stack_top);
/// Prepares a context that calls `entry(argument)` when it is first switched to. `entry` does not
/// return; it ends with leave_for_good().
void make_context(Context& context, void* stack_bottom, void* stack_top,
                  void (*entry)(void* argument), void* argument);
/// Prepares the context of the running thread to be left.
void adopt_thread(Context& context);
/// Goes on at `to`; returns when somebody switches to `from`.
void switch_context(Context& from, Context& to);
/// Goes on at `to`, never to return.
[[noreturn]] void leave_for_good(Context& from, Context& to);
/// After leave_for_good(): its stack may then be used again.
void destroy_context(Context& context);

}  // namespace socketserver::detail
