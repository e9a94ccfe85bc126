// SPDX-License-Identifier: MIT
// Which sanitizer the tests are built with, and what it cannot do.
#pragma once

namespace socketserver::tests {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool under_asan = true;
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
inline constexpr bool under_asan = true;
#    else
inline constexpr bool under_asan = false;
#    endif
#else
inline constexpr bool under_asan = false;
#endif

#if defined(__SANITIZE_THREAD__)
inline constexpr bool under_tsan = true;
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
inline constexpr bool under_tsan = true;
#    else
inline constexpr bool under_tsan = false;
#    endif
#else
inline constexpr bool under_tsan = false;
#endif

/// The C library keeps malloc usable in the child of a program with threads. The allocator that
/// AddressSanitizer puts in its place takes no lock at a fork, so that a child hangs if another
/// thread was allocating (g++ 12, clang 14).
inline constexpr bool may_fork_beside_allocating_threads = !under_asan;

/// ThreadSanitizer keeps caught signals back until the thread calls something that it intercepts,
/// and in a child that was forked beside other threads it intercepts no more.
inline constexpr bool delivers_signals_in_forked_children = !under_tsan;

/// UndefinedBehaviorSanitizer, which is built in together with AddressSanitizer, takes what unwinds
/// the stack at pthread_exit() for a null reference where it is caught: it has no object.
inline constexpr bool may_exit_threads = !under_asan;

/// ThreadSanitizer's pthread_exit() ends the program if it is called on the stack of a fiber.
inline constexpr bool may_exit_thread_in_fibers = !under_tsan;

/// UndefinedBehaviorSanitizer, which is built in together with AddressSanitizer, probes memory with
/// a pipe: without a free descriptor it takes every object for a broken one.
inline constexpr bool checks_without_descriptors = !under_asan;

}  // namespace socketserver::tests
