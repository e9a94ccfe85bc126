// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <exception>

namespace socketserver::detail {

/// What pthread_exit() and pthread_cancel() unwind a thread with. It is no exception and must not
/// be kept, but libstdc++ lets `catch (...)` have it: a clause before that throws it on.
#ifdef __GLIBCXX__
using ForcedUnwind = abi::__forced_unwind;
#else
struct ForcedUnwind {};  // libc++ enters no handler for it; cleanups run with both
#endif

}  // namespace socketserver::detail
