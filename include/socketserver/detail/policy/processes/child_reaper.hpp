// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory_resource>
#include <optional>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/request/connection.hpp"

struct itimerspec;

namespace socketserver::detail {

/// Makes child processes and waits for them, each by its own id: no SIGCHLD, no other's children.
///
/// Thread safety: none; it belongs to the serving thread.
class SOCKETSERVER_EXPORT ChildReaper {
  public:
    ChildReaper();
    ChildReaper(const ChildReaper&) = delete;
    ChildReaper& operator=(const ChildReaper&) = delete;
    /// Does not wait. A child that has not ended is left to init.
    ~ChildReaper();

    /// True in the child. Standard output is flushed first, or both would write what it held.
    ///
    /// @throws std::system_error if no process can be made.
    bool fork();
    /// In the parent, after fork(): what is kept until that child has been waited for.
    void keep(ConnectionHandle&& request) noexcept;
    /// Waits for those that have ended, or for all.
    void collect(bool blocking) noexcept;
    /// What was kept for one that has been waited for, which is then forgotten; or nothing.
    std::optional<ConnectionHandle> take_ended() noexcept;
    /// Lets all know that a drain has come further.
    void announce_drain() const noexcept;
    /// Sends a signal to all.
    void kill(int signal) const noexcept;

    /// From any thread.
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::vector<int> pids() const;
    /// Readable when a child has ended, and now and then while the kernel does not tell of it for
    /// one of them; -1 while there was none.
    int fileno() const noexcept { return epoll_; }

  private:
    static constexpr int ended = 0;
    struct Child {
        int pid;  // or `ended`: waited for
        ConnectionHandle request;
        int pidfd;  // -1: this kernel has none to give, and the child is looked after in each turn
    };
    static constexpr std::size_t usual_children = 40;

    void watch(Child& child) noexcept;
    void set_timer(const itimerspec& when) noexcept;
    void reap_ended(bool blocking) noexcept;
    void reap(Child& child, int options) noexcept;

    /// Memory for the usual number of children, as a part of the server, which is written to
    /// anyway: see RecordMemory. For more of them from the heap.
    class Room : public std::pmr::memory_resource {
        void* do_allocate(std::size_t size, std::size_t alignment) override;
        void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override;
        bool do_is_equal(const memory_resource& other) const noexcept override {
            return this == &other;
        }
        bool is_free_ = true;
        alignas(Child) std::array<std::byte, usual_children * sizeof(Child)> bytes_{};
    };
    Room room_;
    std::pmr::vector<Child> children_{&room_};
    std::atomic<std::size_t> count_{0};
    std::size_t unwatched_ = 0;
    int epoll_ = -1;
    int timer_ = -1;  // in the set, while there are unwatched children
};

/// Writes what standard output holds: after a fork both processes would write it.
void flush_before_fork();
/// Ends a child as `os._exit` does, with its standard output flushed.
[[noreturn]] SOCKETSERVER_EXPORT void exit_child(int status);

}  // namespace socketserver::detail
