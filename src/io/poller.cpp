// SPDX-License-Identifier: MIT
#include "io/poller.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"

namespace socketserver::detail {

namespace {

std::vector<pollfd>::iterator find(std::vector<pollfd>& entries, int fd) {
    return std::find_if(entries.begin(), entries.end(),
                        [fd](const pollfd& entry) { return entry.fd == fd; });
}

}  // namespace

Poller::~Poller() { close(set_); }

int Poller::wait(TimePoint until) {
    if (begin_operation() == -1) return -1;
    if (!break_off_) {
        // If something is ready already, no epoll set is needed.
        if (const int ready = look(); ready != 0) return ready;
        if (Clock::now() >= until) return 0;
        break_off_.emplace(request_);
    }
    if (break_off_->is_broken_off()) {
        errno = ECANCELED;
        return -1;
    }
    return current().io == nullptr ? wait_on_thread(until) : wait_on_carrier(until);
}

int Poller::look() {
    return sys::retry_on_eintr([&] { return sys::calls.poll(entries.data(), entries.size(), 0); });
}

int Poller::wait_on_thread(TimePoint until) {
    entries.push_back({break_off_->fileno(), POLLIN, 0});
    const int ready = detail::poll(entries.data(), entries.size(), until);
    const bool is_broken_off = entries.back().revents != 0;
    entries.pop_back();
    if (ready <= 0 || !is_broken_off) return ready;
    errno = ECANCELED;
    return -1;
}

int Poller::wait_on_carrier(TimePoint until) {
    if (set_.fd == -1) set_.fd = sys::calls.epoll_create1(EPOLL_CLOEXEC);
    if (set_.fd == -1 || !update_set()) return -1;
    for (;;) {
        const int result = detail::wait(set_, Direction::read, until);
        if (result == -1 && errno != ETIMEDOUT) return -1;
        if (break_off_->is_broken_off()) {
            errno = ECANCELED;
            return -1;
        }
        const int ready = look();
        if (ready != 0 || result == -1) return ready;
    }
}

/// Lets the epoll set hold each descriptor once, with all that is wanted of it.
bool Poller::update_set() {
    std::vector<pollfd> wanted{{break_off_->fileno(), POLLIN, 0}};
    for (const pollfd& entry : entries) {
        const auto same = find(wanted, entry.fd);
        if (same == wanted.end()) {
            wanted.push_back({entry.fd, entry.events, 0});
        } else {
            same->events = static_cast<short>(same->events | entry.events);
        }
    }
    for (const pollfd& entry : watched_) {
        if (find(wanted, entry.fd) == wanted.end()) control(EPOLL_CTL_DEL, entry);
    }
    for (const pollfd& entry : wanted) {
        if (entry.fd == -1) continue;
        const auto before = find(watched_, entry.fd);
        if (before != watched_.end() && before->events == entry.events) continue;
        const int operation = before == watched_.end() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        if (!control(operation, entry)) return false;
    }
    watched_ = std::move(wanted);
    return true;
}

bool Poller::control(int operation, const pollfd& entry) const {
    epoll_event event{};
    event.events = static_cast<unsigned short>(entry.events);  // the numbers are the same
    // epoll(7) refuses files, which are always ready.
    return sys::calls.epoll_ctl(set_.fd, operation, entry.fd, &event) != -1 || errno == EPERM;
}

}  // namespace socketserver::detail
