// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

namespace socketserver::detail {

class Waker;

/// Which wakers a signal wakes. Process-wide, as signal handlers are; written under a lock, read
/// by the handler without one.
class SignalTable {
  public:
    /// The handler is installed with the first waker of a signal.
    static void add(int signal, const Waker& waker);
    /// With the last waker of a signal its former disposition comes back.
    static void remove(int signal, const Waker& waker) noexcept;
    /// The calling process is the one whose servers the signals stop. In a child of it the signals
    /// do what they did before: one that is sent to the child is for the child.
    static void adopt() noexcept;
    /// In a worker process: the signals do nothing, the parent hears them itself. Not by SIG_IGN,
    /// which a program that the worker executes would inherit.
    static void enter_worker() noexcept;
};

}  // namespace socketserver::detail
