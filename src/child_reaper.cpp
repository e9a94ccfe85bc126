// SPDX-License-Identifier: MIT
#include "socketserver/detail/child_reaper.hpp"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <utility>

#include "socket_error.hpp"
#include "sys.hpp"

namespace socketserver::detail {

namespace {

void flush_standard_output() {
    std::cout.flush();
    std::fflush(stdout);
}

/// Whether the child is no more to be waited for.
bool has_ended(pid_t pid, int options) {
    int status = 0;
    const pid_t waited =
        sys::retry_on_eintr([&] { return sys::calls.waitpid(pid, &status, options); });
    // ECHILD: the program ignores SIGCHLD, or has waited for it itself.
    return waited == pid || (waited == -1 && errno == ECHILD);
}

}  // namespace

ChildReaper::~ChildReaper() { close_descriptors(); }

bool ChildReaper::fork() {
    flush_standard_output();
    children_.reserve(children_.size() + 1);  // nothing may throw once there is a child
    const pid_t pid = sys::calls.fork();
    if (pid == -1) throw_system_error("fork a process for a request");
    if (pid == 0) {
        close_descriptors();
        // The requests of the others are the parent's: they are not ended here, but forgotten.
        for (Child& child : children_) {
            new std::shared_ptr<Connection>(std::move(child.request));  // NOLINT: never freed
        }
        children_.clear();
        return true;
    }
    Child& child = children_.emplace_back(Child{pid, nullptr, -1});
    count_.store(children_.size(), std::memory_order_relaxed);
    watch(child);
    return false;
}

void ChildReaper::watch(Child& child) noexcept {
    if (epoll_ == -1) epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    child.pidfd = sys::calls.pidfd_open(child.pid, 0);
    epoll_event event{};
    event.events = EPOLLIN;
    if (child.pidfd == -1 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, child.pidfd, &event) == -1) {
        ++unwatched_;
    }
}

std::vector<std::shared_ptr<Connection>> ChildReaper::collect(bool blocking) noexcept {
    std::vector<std::shared_ptr<Connection>> ended;
    if (children_.empty()) return ended;
    if (!blocking && unwatched_ == 0) {
        epoll_event event{};
        if (::epoll_wait(epoll_, &event, 1, 0) == 0) return ended;
    }
    unwatched_ = 0;
    std::erase_if(children_, [&](Child& child) {
        if (!has_ended(child.pid, blocking ? 0 : WNOHANG)) {
            if (child.pidfd == -1) ++unwatched_;
            return false;
        }
        if (child.pidfd != -1) sys::calls.close(child.pidfd);
        if (child.request != nullptr) ended.push_back(std::move(child.request));
        return true;
    });
    count_.store(children_.size(), std::memory_order_relaxed);
    return ended;
}

void ChildReaper::keep(std::shared_ptr<Connection> request) noexcept {
    children_.back().request = std::move(request);
}

void ChildReaper::kill(int signal) const noexcept {
    for (const Child& child : children_) {
        note_cancelled(child.request.get());
        ::kill(child.pid, signal);
    }
}

std::vector<int> ChildReaper::pids() const {
    std::vector<int> pids(children_.size());
    std::transform(children_.begin(), children_.end(), pids.begin(),
                   [](const Child& child) { return child.pid; });
    return pids;
}

void ChildReaper::close_descriptors() noexcept {
    for (const Child& child : children_) {
        if (child.pidfd != -1) sys::calls.close(child.pidfd);
    }
    if (epoll_ != -1) sys::calls.close(epoll_);
    epoll_ = -1;
}

void exit_child(int status) {
    flush_standard_output();
    ::_exit(status);
}

}  // namespace socketserver::detail
