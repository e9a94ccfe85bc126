// SPDX-License-Identifier: MIT
#include "socketserver/detail/policy/processes/child_reaper.hpp"

#include <stdio_ext.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <utility>
#if defined(__GLIBCXX__) && defined(__cpp_rtti)
#    include <ext/stdio_sync_filebuf.h>
#    define SOCKETSERVER_KNOWS_BUFFER_OF_COUT
#endif

#include "io/buffer_pool.hpp"
#include "io/socket_error.hpp"
#include "os/child_process.hpp"
#include "os/no_sigpipe.hpp"
#include "os/sys.hpp"
#include "os/timespec.hpp"
#include "request/drain_signal.hpp"

namespace socketserver::detail {

namespace {

/// Whether std::cout has a buffer of its own, beside that of stdout (sync_with_stdio(false)). The
/// parent finds that out, because in a child the first use of iostreams costs several page faults.
/// If it cannot be found out, the answer is yes.
bool cout_has_own_buffer() {
#ifdef SOCKETSERVER_KNOWS_BUFFER_OF_COUT
    const std::streambuf* buffer = std::cout.rdbuf();
    return dynamic_cast<const __gnu_cxx::stdio_sync_filebuf<char>*>(buffer) == nullptr;
#else
    return true;
#endif
}

bool must_flush_cout = false;

void flush_standard_output() {
    const bool must_flush_stdout = ::__fpending(stdout) > 0;
    if (!must_flush_cout && !must_flush_stdout) return;
    const NoSigpipe no_sigpipe;
    if (must_flush_cout) std::cout.flush();
    if (must_flush_stdout) std::fflush(stdout);
}

/// How often to check the children whose end no descriptor reports.
constexpr std::chrono::milliseconds check_interval{20};
constexpr itimerspec look_at_unwatched{to_timespec(check_interval), to_timespec(check_interval)};

}  // namespace

void flush_before_fork() {
    const bool must = cout_has_own_buffer();
    if (must_flush_cout != must) must_flush_cout = must;  // a page that is written to is copied
    flush_standard_output();
}

void* ChildReaper::Room::do_allocate(std::size_t size, std::size_t alignment) {
    if (is_free_ && size <= bytes_.size()) {
        is_free_ = false;
        return bytes_.data();
    }
    return std::pmr::new_delete_resource()->allocate(size, alignment);
}

void ChildReaper::Room::do_deallocate(void* memory, std::size_t size, std::size_t alignment) {
    if (memory == bytes_.data()) {
        is_free_ = true;
    } else {
        std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
    }
}

ChildReaper::ChildReaper() { children_.reserve(usual_children); }

ChildReaper::~ChildReaper() {
    for (const Child& child : children_) {
        if (child.pidfd != -1) sys::calls.close(child.pidfd);
    }
    if (timer_ != -1) sys::calls.close(timer_);
    if (epoll_ != -1) sys::calls.close(epoll_);
}

bool ChildReaper::fork() {
    flush_before_fork();
    DrainSignal::prepare_to_fork();
    // The room is made before the fork, because nothing may throw once there is a child.
    if (children_.size() == children_.capacity()) children_.reserve(2 * children_.capacity());
    BufferPool::warm();  // so that no child has to make it
    const pid_t pid = fork_request_process();
    if (pid == -1) throw_system_error("fork a process for a request");
    // The child leaves these members as they are, because every page that it writes to is copied.
    // The descriptors are closed when it ends, or executes a program.
    if (pid == 0) return true;
    Child& child = children_.emplace_back(Child{pid, {}, -1});
    count_.fetch_add(1, std::memory_order_relaxed);
    watch(child);
    return false;
}

void ChildReaper::watch(Child& child) noexcept {
    if (epoll_ == -1) epoll_ = sys::calls.epoll_create1(EPOLL_CLOEXEC);
    child.pidfd = sys::calls.pidfd_open(child.pid, 0);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = child.pid;
    if (child.pidfd != -1 && sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, child.pidfd, &event) == 0)
        return;
    if (child.pidfd != -1) sys::calls.close(std::exchange(child.pidfd, -1));
    if (++unwatched_ == 1) set_timer(look_at_unwatched);
}

/// Makes the loop check the children at this interval. If there is no timer for that, check_at()
/// does.
void ChildReaper::set_timer(const itimerspec& when) noexcept {
    if (timer_ == -1) make_timer();
    if (timer_ != -1) ::timerfd_settime(timer_, 0, &when, nullptr);
}

void ChildReaper::make_timer() noexcept {
    timer_ = sys::calls.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = ended;
    if (timer_ != -1 && sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) == -1) {
        sys::calls.close(std::exchange(timer_, -1));
    }
}

TimePoint ChildReaper::check_at() const noexcept {
    return unwatched_ > 0 && timer_ == -1 ? Clock::now() + check_interval : never;
}

void ChildReaper::collect(bool blocking) noexcept {
    if (!children_.empty()) reap_ended(blocking);
}

std::optional<ConnectionHandle> ChildReaper::take_ended() noexcept {
    const auto found = std::ranges::find(children_, ended, &Child::pid);
    if (found == children_.end()) return {};
    std::optional request{std::move(found->request)};
    children_.erase(found);
    if (children_.capacity() > usual_children && children_.size() <= usual_children / 2) {
        // Memory that many children at once have needed is given back.
        std::pmr::vector<Child> few{&room_};
        few.reserve(usual_children);
        std::ranges::move(children_, std::back_inserter(few));
        children_.swap(few);
    }
    return request;
}

void ChildReaper::keep(ConnectionHandle&& request) noexcept {
    children_.back().request = std::move(request);
}

void ChildReaper::announce_drain() const noexcept {
    for (const Child& child : children_) {
        if (child.pid != ended) DrainSignal::send(child.pid, child.pidfd);
    }
}

void ChildReaper::kill(int signal) const noexcept {
    for (const Child& child : children_) {
        if (child.pid == ended) continue;
        note_cancelled(child.request.get());
        signal_child(child.pid, child.pidfd, signal);
    }
}

void ChildReaper::reap_ended(bool blocking) noexcept {
    if (blocking) {
        for (Child& child : children_) reap(child, 0);
        return;
    }
    if (unwatched_ > 0) {
        for (Child& child : children_) {
            if (child.pidfd == -1) reap(child, WNOHANG);
        }
    }
    if (epoll_ == -1) return;
    std::array<epoll_event, 16> events{};
    for (;;) {
        const int count = ::epoll_wait(epoll_, events.data(), events.size(), 0);
        for (int i = 0; i < count; ++i) {
            const int pid = events[static_cast<std::size_t>(i)].data.fd;
            if (pid == ended) {  // the timer, whose expiry has to be read
                std::uint64_t expiries = 0;
                [[maybe_unused]] const auto got = ::read(timer_, &expiries, sizeof expiries);
                continue;
            }
            for (Child& child : children_) {
                if (child.pid == pid) reap(child, WNOHANG);
            }
        }
        if (count < static_cast<int>(events.size())) return;
    }
}

/// Takes the status of the child if it has ended. Only its record is kept then.
void ChildReaper::reap(Child& child, int options) noexcept {
    if (child.pid == ended || !wait_for_child(child.pid, options)) return;
    if (child.pidfd == -1) {
        if (--unwatched_ == 0) set_timer({});
    } else {
        // Closing alone would leave the entry in the set while a child that was forked later has a
        // copy of the descriptor.
        sys::calls.epoll_ctl(epoll_, EPOLL_CTL_DEL, child.pidfd, nullptr);
        sys::calls.close(std::exchange(child.pidfd, -1));
    }
    child.pid = ended;
    count_.fetch_sub(1, std::memory_order_relaxed);
}

std::vector<int> ChildReaper::pids() const {
    std::vector<int> pids;
    pids.reserve(children_.size());
    for (const Child& child : children_) {
        if (child.pid != ended) pids.push_back(child.pid);
    }
    return pids;
}

void exit_child(int status) {
    flush_standard_output();
    ::_exit(status);
}

}  // namespace socketserver::detail
