// SPDX-License-Identifier: MIT
#include "worker_end.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "sys.hpp"

namespace socketserver::detail {

namespace {

std::exception_ptr error_of(const std::string& text) {
    return std::make_exception_ptr(std::runtime_error{text});
}

}  // namespace

std::optional<ChildEnd> wait_for_child(pid_t pid, int options) {
    int status = 0;
    const pid_t waited =
        sys::retry_on_eintr([&] { return sys::calls.waitpid(pid, &status, options); });
    if (waited == pid) return ChildEnd{status};
    if (waited == -1 && errno == ECHILD) return ChildEnd{};
    return {};
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
