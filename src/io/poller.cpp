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

short events_of(ChannelWait::For what) noexcept {
    switch (what) {
        case ChannelWait::For::input:
            return POLLIN;
        case ChannelWait::For::output:
            return POLLOUT;
        default:
            return POLLHUP;
    }
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
    waits_.clear();
    places_.clear();
    for (std::size_t place = 0; place < entries.size(); ++place) {
        if (has_channel(place)) add_waits(place);
    }
    if (!update_set()) return -1;
    if (!watched_.empty()) waits_.push_back({&set_});
    for (;;) {
        const int result = current().io->wait_any(waits_, until);
        if (result == -1) return -1;
        if (break_off_->is_broken_off()) {
            errno = ECANCELED;
            return -1;
        }
        const int ready = result == 0 ? look() : take_ready();
        if (ready != 0 || result == 0) return ready;
    }
}

/// Whether the entry is waited for by the registrations of its connection. The socket of a datagram
/// server is not, because the fibers of all workers send to it.
bool Poller::has_channel(std::size_t place) const {
    return place < channels.size() && channels[place] != nullptr &&
           channels[place]->stream != ByteStream::unknown;
}

void Poller::add_waits(std::size_t place) {
    const auto add = [&](ChannelWait::For what) {
        waits_.push_back({channels[place], what});
        places_.push_back(place);
    };
    const pollfd& entry = entries[place];
    if (entry.fd == -1) return;
    if ((entry.events & POLLIN) != 0) add(ChannelWait::For::input);
    if ((entry.events & POLLOUT) != 0) add(ChannelWait::For::output);
    if (entry.events == 0) add(ChannelWait::For::hang_up);
}

/// Sets the `revents` of the entries, and returns how many are ready, as poll(2) does. If something
/// in the epoll set is ready, only the kernel knows what it is.
int Poller::take_ready() {
    if (waits_.size() > places_.size() && waits_.back().is_ready) return look();
    for (pollfd& entry : entries) entry.revents = 0;
    int ready = 0;
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (!waits_[i].is_ready) continue;
        pollfd& entry = entries[places_[i]];
        if (entry.revents == 0) ++ready;
        entry.revents = static_cast<short>(entry.revents | events_of(waits_[i].what));
    }
    return ready;
}

/// Lets the epoll set hold each descriptor once, with all that is wanted of it.
bool Poller::update_set() {
    wanted_.clear();
    if (break_off_->fileno() != -1) wanted_.push_back({break_off_->fileno(), POLLIN, 0});
    for (std::size_t place = 0; place < entries.size(); ++place) {
        const pollfd& entry = entries[place];
        if (entry.fd == -1 || has_channel(place)) continue;
        const auto same = find(wanted_, entry.fd);
        if (same == wanted_.end()) {
            wanted_.push_back({entry.fd, entry.events, 0});
        } else {
            same->events = static_cast<short>(same->events | entry.events);
        }
    }
    for (const pollfd& entry : watched_) {
        if (find(wanted_, entry.fd) == wanted_.end()) control(EPOLL_CTL_DEL, entry);
    }
    if (set_.fd == -1 && !wanted_.empty()) {
        set_.fd = sys::calls.epoll_create1(EPOLL_CLOEXEC);
        if (set_.fd == -1) return false;
    }
    for (const pollfd& entry : wanted_) {
        const auto before = find(watched_, entry.fd);
        if (before != watched_.end() && before->events == entry.events) continue;
        const int operation = before == watched_.end() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        if (!control(operation, entry)) return false;
    }
    std::swap(watched_, wanted_);
    return true;
}

bool Poller::control(int operation, const pollfd& entry) const {
    epoll_event event{};
    event.events = static_cast<unsigned short>(entry.events);  // the numbers are the same
    // epoll(7) refuses files, which are always ready.
    return sys::calls.epoll_ctl(set_.fd, operation, entry.fd, &event) != -1 || errno == EPERM;
}

}  // namespace socketserver::detail
