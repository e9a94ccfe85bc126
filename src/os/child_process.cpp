// SPDX-License-Identifier: MIT
#include "os/child_process.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <string>

#include "os/signal_table.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

std::exception_ptr error_of(const std::string& text) {
    return std::make_exception_ptr(std::runtime_error{text});
}

}  // namespace

pid_t fork_worker_process() { return fork_with_signals_blocked(SignalTable::enter_worker); }

pid_t fork_request_process() {
    // Without ShutdownOnSignal no signal needs to be blocked.
    if (!SignalTable::is_used()) return sys::calls.fork();
    return fork_with_signals_blocked(SignalTable::enter_child);
}

std::optional<ChildEnd> wait_for_child(pid_t pid, int options) {
    int status = 0;
    const pid_t waited =
        sys::retry_on_eintr([&] { return sys::calls.waitpid(pid, &status, options); });
    if (waited == pid) return ChildEnd{status};
    if (waited == -1 && errno == ECHILD) return ChildEnd{};
    return {};
}

void signal_child(pid_t pid, int pidfd, int signal) noexcept {
    // pidfd_send_signal(2) is older than pidfd_open(2), but a seccomp filter may forbid it.
    if (pidfd != -1 && (sys::calls.pidfd_send_signal(pidfd, signal) == 0 || errno == ESRCH)) return;
    siginfo_t info{};
    const int found = sys::retry_on_eintr([&] {
        return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
    });
    if (found == 0) ::kill(pid, signal);
}

std::exception_ptr describe_end(pid_t pid, const ChildEnd& end, bool was_leaving) {
    if (!end.status) {
        return was_leaving ? nullptr : error_of(fmt::format("worker process {} has ended", pid));
    }
    const int status = *end.status;
    if (WIFSIGNALED(status)) {
        return error_of(fmt::format("worker process {} was killed by signal {} ({})", pid,
                                    WTERMSIG(status), ::strsignal(WTERMSIG(status))));
    }
    if (was_leaving && WEXITSTATUS(status) == 0) return nullptr;
    return error_of(
        fmt::format("worker process {} exited with status {}", pid, WEXITSTATUS(status)));
}

}  // namespace socketserver::detail
