// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

namespace socketserver::detail {

class Waker;

/// What a signal does.
struct SignalEffect {
    const Waker& wakes;
    const Waker* then_wakes = nullptr;      ///< wakes this one as well; not in a forked child
    std::atomic<bool>* has_come = nullptr;  ///< sets this first
};

/// Which wakers a signal wakes. Process-wide, as signal handlers are; written under a lock, read
/// by the handler without one.
///
/// A forked child has a copy of the table. An entry belongs to the process that added it or adopted
/// it. In a process without an entry the signal does what it did before the library caught it: a
/// signal that is sent to a child is meant for the child. Children that the library forks are
/// different, see below.
class SignalTable {
  public:
    /// Adds an effect. The first one of a signal installs the handler. Returns false if the signal
    /// was ignored (nohup, a background job); it stays ignored then.
    ///
    /// @param stop the stop waker of the server, by which adopt() finds the entry.
    /// @param key names the entry for remove() and redirect().
    /// @throws std::system_error if the signal cannot be caught.
    static bool add(int signal, const SignalEffect& effect, const Waker& stop, const void* key);
    /// Removes an entry. After the last one of a signal its former disposition is restored. When
    /// the call returns, no handler uses what the entry refers to.
    static void remove(int signal, const void* key) noexcept;
    /// From now on the signals of `key` wake another waker, and that alone.
    static void redirect(const void* key, const Waker& to) noexcept;

    /// @name In a forked child
    /// @{

    /// The calling process serves the server that `stop` belongs to: the entries of that server
    /// become this process's. They stop the server rather than drain it, because the thread that
    /// would drain it exists only in the parent.
    static void adopt(const Waker& stop) noexcept;
    /// In a worker process: the signals do nothing, because the parent receives them as well and
    /// tells its workers. SIG_IGN is not used for that: a program that the worker executes would
    /// inherit it.
    static void enter_worker() noexcept;
    /// In a child that serves one request: the same, except that signals from the parent and from
    /// the child itself have their usual effect.
    static void enter_child() noexcept;
    /// Whether any signal was ever added. If not, children need not call the two above.
    static bool is_used() noexcept;
    /// @}
};

}  // namespace socketserver::detail
