// SPDX-License-Identifier: MIT
#include "server/server_copies.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

/// How many processes the list can hold. Further processes are not known to the others.
constexpr std::size_t most_processes = 256;

bool lives(pid_t pid) {
    const int pidfd = sys::calls.pidfd_open(pid, 0);
    // On a kernel without pidfds, a process that has ended and was not waited for yet counts as
    // alive.
    if (pidfd == -1) return errno != ESRCH && (::kill(pid, 0) == 0 || errno == EPERM);
    pollfd entry{pidfd, POLLIN, 0};
    const bool has_ended = ::poll(&entry, 1, 0) == 1;
    sys::calls.close(pidfd);
    return !has_ended;
}

}  // namespace

struct ServerCopies::Processes {
    std::array<std::atomic<pid_t>, most_processes> pids{};
    std::atomic<std::size_t> count{0};
};

ServerCopies::ServerCopies() : processes_{"map the processes of a server"} { join(); }

ServerCopies::~ServerCopies() = default;

void ServerCopies::join() noexcept {
    for (std::atomic<pid_t>& each : processes_->pids) {
        pid_t before = each;
        // The place of a process that has ended without leaving the list can be taken.
        if (before != 0 && lives(before)) continue;
        if (!each.compare_exchange_strong(before, ::getpid())) continue;
        if (before == 0) ++processes_->count;
        return;
    }
}

void ServerCopies::leave() noexcept {
    for (std::atomic<pid_t>& each : processes_->pids) {
        pid_t self = ::getpid();
        if (each.compare_exchange_strong(self, 0)) --processes_->count;
    }
}

bool ServerCopies::are_several() const noexcept {
    return processes_->count.load(std::memory_order_relaxed) > 1;
}

bool ServerCopies::has_others() const noexcept {
    return std::any_of(processes_->pids.begin(), processes_->pids.end(),
                       [](const std::atomic<pid_t>& each) {
                           const pid_t pid = each;
                           return pid != 0 && pid != ::getpid() && lives(pid);
                       });
}

}  // namespace socketserver::detail
