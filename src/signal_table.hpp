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
    /// In a forked child: gives every signal back its former disposition. A signal that is sent to
    /// the child is for the child, not for the parent's server.
    static void enter_child() noexcept;
    /// In a worker process: the signals that wake somebody in the parent do nothing here. Not by
    /// SIG_IGN, which a program that the worker executes would inherit.
    static void enter_worker() noexcept;
};

}  // namespace socketserver::detail
