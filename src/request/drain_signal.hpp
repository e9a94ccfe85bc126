// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

class Connection;

/// How a server that is being drained reaches its children. The parent cannot end the input of a
/// connection that a child has, and in the child the only thread may be in a handler that waits for
/// its client. So the parent sends SIGURG, and the child's signal handler ends the input of that
/// connection. To wait for a descriptor beside the connection would cost each request a system
/// call. A SIGURG that nobody caught is ignored, so none is sent too early.
///
/// What to do, the handler reads from the counters that parent and child share.
class DrainSignal {
  public:
    /// In a worker: catches the signal from now on.
    static void listen() noexcept;
    /// In the parent, before it forks for a request: the child finds all done, with no page of its
    /// own written. In the parent the handler has nothing to do. Leaves a handler of the program's
    /// alone; the children are then broken off when the time of a drain is over.
    static void prepare_to_fork() noexcept;
    /// The calling thread is about to receive from a connection, or (null) has done so. Seen by the
    /// handler when it runs in this thread: the first one of the process, which the kernel prefers.
    static void receiving(Connection* connection) noexcept;
    /// To a child; `pidfd` is -1 if there is none.
    static void send(int pid, int pidfd) noexcept;
};

}  // namespace socketserver::detail
