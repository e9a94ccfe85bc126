// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <exception>
#include <optional>

namespace socketserver::detail {

/// As fork(2). A signal for the parent does not find the child before it knows that it is a worker.
pid_t fork_worker_process();
/// The same for a child that serves one request.
pid_t fork_request_process();

/// The status of a child that has ended; none if somebody else has waited for it.
struct ChildEnd {
    std::optional<int> status;
};

/// Nothing: it has not ended (`options` with WNOHANG).
std::optional<ChildEnd> wait_for_child(pid_t pid, int options);

/// Sends a signal to a child that this process may not have waited for. By its descriptor where
/// there is one (else -1): where SIGCHLD is ignored the kernel gives the id of a child that has
/// ended to another process. Without one, only if the id is still a child's.
void signal_child(pid_t pid, int pidfd, int signal) noexcept;

/// What is to be reported of a worker's end; null if it ended as it was meant to.
std::exception_ptr describe_end(pid_t pid, const ChildEnd& end, bool was_leaving);

}  // namespace socketserver::detail
