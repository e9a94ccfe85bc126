// SPDX-License-Identifier: MIT
#pragma once

#ifndef __linux__
#    error "socketserver runs on Linux only: it is built on epoll, eventfd, futexes and pidfds"
#endif

// Marks the symbols that a shared library exports. A static library needs no mark.
#if defined(SOCKETSERVER_STATIC_DEFINE)
#    define SOCKETSERVER_EXPORT
#else
#    define SOCKETSERVER_EXPORT __attribute__((visibility("default")))
#endif

namespace socketserver::detail {

// With _GLIBCXX_DEBUG containers have another layout. A program and a library of which only one is
// compiled with it would link, and crash. So each program refers to a symbol that only a library
// compiled in the same way defines. There is one reference for each program or shared library.
// NOLINTBEGIN(readability-identifier-naming): the macro's own name
#ifdef _GLIBCXX_DEBUG
SOCKETSERVER_EXPORT extern const char library_compiled_with_GLIBCXX_DEBUG;
[[gnu::used, gnu::visibility("hidden")]] inline const char* const needs_debug_mode =
    &library_compiled_with_GLIBCXX_DEBUG;
#else
SOCKETSERVER_EXPORT extern const char library_compiled_without_GLIBCXX_DEBUG;
[[gnu::used, gnu::visibility("hidden")]] inline const char* const needs_no_debug_mode =
    &library_compiled_without_GLIBCXX_DEBUG;
#endif
// NOLINTEND(readability-identifier-naming)

}  // namespace socketserver::detail
