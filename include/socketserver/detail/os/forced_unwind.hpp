// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <exception>

namespace socketserver::detail {

/// The type with which pthread_exit() and pthread_cancel() unwind a thread. It is not an ordinary
/// exception and must not be kept, but with libstdc++ a `catch (...)` catches it. So a clause
/// before that one catches this type and rethrows it.
#ifdef __GLIBCXX__
using ForcedUnwind = abi::__forced_unwind;
#else
struct ForcedUnwind {};  // with libc++ no catch clause catches it; destructors run with both
#endif

}  // namespace socketserver::detail
