// SPDX-License-Identifier: MIT
#include "request/lingering.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t at_once = std::size_t{16} * 1024;
/// The number is limited, so that a client that sends fast does not delay the loop.
constexpr int reads_in_a_turn = 4;

/// Discards what has come. Returns false if the client has ended its side, or has used up its
/// bytes.
bool throw_away(int fd, std::size_t& left) noexcept {
    std::array<char, at_once> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    for (int reads = 0; reads < reads_in_a_turn; ++reads) {
        const ssize_t received = sys::retry_on_eintr(
            [&] { return sys::calls.recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); });
        if (received == -1) return errno == EAGAIN;
        if (received == 0 || static_cast<std::size_t>(received) >= left) return false;
        left -= static_cast<std::size_t>(received);
    }
    return true;
}

}  // namespace

Lingering::~Lingering() {
    end();
    if (epoll_ != -1) sys::calls.close(epoll_);
}

void Lingering::take(int fd) noexcept {
    sys::calls.shutdown(fd, SHUT_WR);
    const std::lock_guard lock{mutex_};
    if (epoll_ == -1) epoll_ = sys::calls.epoll_create1(EPOLL_CLOEXEC);
    Entry* place = entries_.data();
    for (Entry& entry : entries_) {
        if (entry.fd == -1) {
            place = &entry;
            break;
        }
        if (entry.until < place->until) place = &entry;
    }
    if (place->fd != -1) close(*place);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.ptr = place;
    if (epoll_ == -1 || sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == -1) {
        sys::calls.close(fd);  // the client may lose the answer
        return;
    }
    place->until = deadline_after(longest);
    place->left = most_bytes;
    place->fd = fd;
    ++count_;
}

TimePoint Lingering::next_end() const noexcept {
    const std::lock_guard lock{mutex_};
    TimePoint first = never;
    for (const Entry& entry : entries_) {
        if (entry.fd != -1) first = std::min(first, entry.until);
    }
    return first;
}

void Lingering::look_after() noexcept {
    const std::lock_guard lock{mutex_};
    std::array<epoll_event, 8> events{};
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        auto& entry = *static_cast<Entry*>(events.at(static_cast<std::size_t>(i)).data.ptr);
        if (entry.fd != -1 && !throw_away(entry.fd, entry.left)) close(entry);
    }
    const TimePoint now = Clock::now();
    for (Entry& entry : entries_) {
        if (entry.fd != -1 && entry.until <= now) close(entry);
    }
}

void Lingering::end() noexcept {
    const std::lock_guard lock{mutex_};
    for (Entry& entry : entries_) {
        if (entry.fd != -1) close(entry);
    }
}

void Lingering::disown() noexcept {
    for (Entry& entry : entries_) {
        const int fd = entry.fd.exchange(-1);
        if (fd != -1) sys::calls.close(fd);
    }
    if (epoll_ != -1) sys::calls.close(epoll_.exchange(-1));
    count_ = 0;
}

/// Removes the descriptor from the epoll set first, because the entry would stay there if a child
/// had a copy of the descriptor.
void Lingering::close(Entry& entry) noexcept {
    const int fd = entry.fd.exchange(-1);
    sys::calls.epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    sys::calls.close(fd);
    --count_;
}

void Lingering::linger_here(int fd) noexcept {
    sys::calls.shutdown(fd, SHUT_WR);
    std::size_t left = most_bytes;
    const TimePoint until = deadline_after(longest);
    while (throw_away(fd, left)) {
        const auto time =
            std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
        pollfd input{fd, POLLIN, 0};
        if (time <= 0 || sys::calls.poll(&input, 1, static_cast<int>(time)) == 0) break;
    }
    sys::calls.close(fd);
}

}  // namespace socketserver::detail
