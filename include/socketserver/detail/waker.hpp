// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// A descriptor that one side makes readable to end the other side's wait (an eventfd). wake() may
/// be called from any thread, from a signal handler, and from a forked child, whose wake() reaches
/// the parent.
class SOCKETSERVER_EXPORT Waker {
  public:
    /// @throws std::system_error if no descriptor can be had.
    Waker();
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;
    ~Waker();

    void wake() const noexcept;
    /// Takes back every wake() so far.
    void reset() const noexcept;
    int fileno() const noexcept { return descriptor_; }

  private:
    int descriptor_;
};

}  // namespace socketserver::detail
