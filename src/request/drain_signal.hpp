// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

class Connection;

/// How a server that is being drained reaches its children. The parent cannot end the input of a
/// connection that a child has, and in the child the only thread may be in a handler that waits for
/// its client. So the parent sends SIGURG, and the child's signal handler ends the input of that
/// connection. To wait for a descriptor beside the connection would cost each request a system
/// call. A SIGURG without a handler is ignored, so it does no harm if it comes too early.
///
/// The signal handler reads what to do from the counters that parent and child share.
class DrainSignal {
  public:
    /// In a worker: catches the signal from now on.
    static void listen() noexcept;
    /// Called in the parent before it forks for a request: installs the handler, so that the child
    /// need not write to a page for it. In the parent the handler does nothing. If the program has
    /// a handler of its own, that one stays; children are then broken off when the time of a drain
    /// is over.
    static void prepare_to_fork() noexcept;
    /// Called when the calling thread is about to receive from a connection and, with null, when it
    /// has done so. The handler sees it if it runs in this thread. The kernel prefers the first
    /// thread of the process, which this one is.
    static void receiving(Connection* connection) noexcept;
    /// Sends the signal to a child. `pidfd` is -1 if there is none.
    static void send(int pid, int pidfd) noexcept;
};

}  // namespace socketserver::detail
