// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <optional>

#include "os/sys.hpp"

namespace socketserver::detail {

/// As fork(2). Signals are blocked until the child has returned from `enter_child`, or for good if
/// it does not.
template <class Enter>
pid_t fork_with_signals_blocked(Enter enter_child) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = sys::calls.fork();
    const int error = errno;
    if (pid == 0) enter_child();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return pid;
}

/// As fork(2). Signals are blocked until the child has told SignalTable that it is a worker, so
/// that a signal that is meant for the parent does not end it.
pid_t fork_worker_process();
/// The same for a child that serves one request.
pid_t fork_request_process();

/// The status of a child that has ended; none if somebody else has waited for it.
struct ChildEnd {
    std::optional<int> status;
};

/// As waitpid(2). Returns nothing if the child has not ended (with WNOHANG among the options).
std::optional<ChildEnd> wait_for_child(pid_t pid, int options);

/// Sends a signal to a child. `pidfd` is its descriptor, or -1 if there is none. With a descriptor
/// the signal cannot reach another process. Without one it is sent only if the id still belongs to
/// a child of this process: where SIGCHLD is ignored, the kernel gives the id of a child that has
/// ended to another process.
void signal_child(pid_t pid, int pidfd, int signal) noexcept;

/// The error to report for a worker that has ended; null if it ended as intended.
std::exception_ptr describe_end(pid_t pid, const ChildEnd& end, bool was_leaving);

}  // namespace socketserver::detail
