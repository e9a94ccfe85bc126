// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "socketserver/detail/connection.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Makes child processes and waits for them, each by its own id: no SIGCHLD, no other's children.
///
/// Thread safety: none; it belongs to the serving thread.
class SOCKETSERVER_EXPORT ChildReaper {
  public:
    ChildReaper() = default;
    ChildReaper(const ChildReaper&) = delete;
    ChildReaper& operator=(const ChildReaper&) = delete;
    /// Does not wait. A child that has not ended is left to init.
    ~ChildReaper();

    /// True in the child. Standard output is flushed first, or both would write what it held.
    ///
    /// @throws std::system_error if no process can be made.
    bool fork();
    /// In the parent, after fork(): what is kept until that child has been waited for.
    void keep(ConnectionHandle request) noexcept;
    /// Waits for those that have ended, or for all. Returns what was kept for them.
    std::vector<ConnectionHandle> collect(bool blocking) noexcept;
    /// Lets all know that a drain has come further.
    void announce_drain() const noexcept;
    /// Sends a signal to all.
    void kill(int signal) const noexcept;

    /// From any thread.
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::vector<int> pids() const;
    /// Readable when a child has ended; -1 while there was none.
    int fileno() const noexcept { return epoll_; }

  private:
    struct Child {
        int pid;
        ConnectionHandle request;
        int pidfd;  // -1: this kernel has none to give, and the child is looked after in each turn
    };
    void watch(Child& child) noexcept;
    void reap_ended(bool blocking) noexcept;
    bool reap(Child& child, int options) noexcept;

    std::vector<Child> children_;
    std::vector<ConnectionHandle> ended_;
    std::atomic<std::size_t> count_{0};
    std::size_t unwatched_ = 0;
    int epoll_ = -1;
};

/// Writes what standard output holds: after a fork both processes would write it.
void flush_before_fork();
/// Ends a child as `os._exit` does, with its standard output flushed.
[[noreturn]] SOCKETSERVER_EXPORT void exit_child(int status);

}  // namespace socketserver::detail
