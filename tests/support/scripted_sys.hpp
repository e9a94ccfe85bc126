// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <functional>
#include <utility>

#include "os/sys.hpp"

namespace socketserver::tests {

namespace sys = detail::sys;

/// Puts a script in the place of one system call of the library for as long as it lives:
///
///     const Scripted<&Calls::accept4> accept4{[](auto...) { return fail(EMFILE); }};
///
/// Made before threads that call it are started, destroyed after they have ended.
template <auto Entry>
class Scripted;

template <class Result, class... Arguments, Result (*sys::Calls::*Entry)(Arguments...)>
class Scripted<Entry> {
  public:
    explicit Scripted(std::function<Result(Arguments...)> script) {
        script_ = std::move(script);
        sys::calls.*Entry = &play;
    }
    Scripted(const Scripted&) = delete;
    Scripted& operator=(const Scripted&) = delete;
    ~Scripted() { sys::calls.*Entry = sys::kernel.*Entry; }

  private:
    static Result play(Arguments... arguments) { return script_(arguments...); }
    static inline std::function<Result(Arguments...)> script_;
};

using sys::Calls;

/// What a failing system call does.
inline int fail(int error) {
    errno = error;
    return -1;
}

}  // namespace socketserver::tests
