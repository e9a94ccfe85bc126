// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Call this first in a clause `catch (...)` that does not rethrow, if code of a user may run in
/// its try block. With pthread_exit() and pthread_cancel() the C library unwinds the stack of the
/// thread, and `catch (...)` stops that too, although it is no C++ exception and must not be kept:
/// if the clause ends as after an exception, the C library ends the program. This function lets the
/// unwinding go on. If an ordinary exception was caught, it returns.
SOCKETSERVER_EXPORT void rethrow_forced_unwind();

}  // namespace socketserver::detail
