// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

class Waker;

/// Which wakers a signal wakes. Process-wide, as signal handlers are; written under a lock, read
/// by the handler without one.
///
/// A forked child has a copy. An entry is for the process that added it or took it over; where none
/// of this process stands, the signal does what it did before, because one that is sent to a child
/// is for the child. Not so in the children of the library, see below.
class SignalTable {
  public:
    /// The handler is installed with the first waker of a signal. False: the signal was ignored
    /// (nohup, a background job), and stays so.
    ///
    /// @param stop of the server that is stopped in the end.
    /// @param key for remove().
    /// @throws std::system_error if the signal cannot be caught.
    static bool add(int signal, const Waker& waker, const Waker& stop, const void* key);
    /// With the last waker of a signal its former disposition comes back. Afterwards no handler
    /// uses the waker.
    static void remove(int signal, const void* key) noexcept;
    /// From now on the signals of `key` wake another waker.
    static void redirect(const void* key, const Waker& to) noexcept;

    /// @name In a forked child
    /// @{

    /// The server of this `stop` is served by the calling process: its entries are this process's.
    /// They stop it; the thread that would drain it was left behind in the parent.
    static void adopt(const Waker& stop) noexcept;
    /// In a worker process: the signals do nothing, the parent hears them itself. Not by SIG_IGN,
    /// which a program that the worker executes would inherit.
    static void enter_worker() noexcept;
    /// In a child that serves one request: the same, except for signals that its parent, or the
    /// child itself, sends.
    static void enter_child() noexcept;
    /// Whether there is anything that a child must be kept from.
    static bool is_used() noexcept;
    /// @}
};

}  // namespace socketserver::detail
