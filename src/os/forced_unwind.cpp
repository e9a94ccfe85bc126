// SPDX-License-Identifier: MIT
#include "socketserver/detail/os/forced_unwind.hpp"

#include <cxxabi.h>
#include <unwind.h>

#include <cstddef>
#include <exception>

#ifdef _LIBCPPABI_VERSION
// <cxxabi.h> of libc++abi does not declare this part of the C++ ABI.
namespace __cxxabiv1 {
extern "C" void* __cxa_get_globals();
}
#endif

namespace socketserver::detail {

#ifdef _LIBCPPABI_VERSION
namespace {

/// The exception that the innermost catch clause of this thread handles: its header, which
/// _Unwind_Exception ends, and which the thrown object follows.
char*& innermost_caught() { return *static_cast<char**>(__cxxabiv1::__cxa_get_globals()); }

/// How far behind the begin of the header _Unwind_Exception stands.
std::ptrdiff_t offset_of_unwind_exception() {
    struct Probe {};
    try {
        throw Probe{};
    } catch (const Probe& thrown) {
        return reinterpret_cast<const char*>(&thrown) - sizeof(_Unwind_Exception) -
               innermost_caught();
    }
}

/// What `throw;` does with libstdc++. That of libc++abi begins an ordinary unwinding instead, which
/// ends the program if no catch clause stops it again.
[[noreturn]] void resume_unwinding() {
    const std::ptrdiff_t offset = offset_of_unwind_exception();
    auto* const exception = reinterpret_cast<_Unwind_Exception*>(innermost_caught() + offset);
    innermost_caught() = nullptr;  // so that the end of the clause does not delete it
    ::_Unwind_Resume_or_Rethrow(exception);
    std::terminate();
}

}  // namespace
#endif

void rethrow_forced_unwind() {
    // The unwinding of the C library is caught, and yet is no exception.
    if (std::current_exception() != nullptr) return;
#ifdef _LIBCPPABI_VERSION
    resume_unwinding();
#else
    throw;
#endif
}

}  // namespace socketserver::detail
