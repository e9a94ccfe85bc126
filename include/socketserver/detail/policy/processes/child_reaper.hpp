// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory_resource>
#include <optional>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/detail/request/connection.hpp"

struct itimerspec;

namespace socketserver::detail {

/// Makes child processes and waits for each by its process id. It needs no SIGCHLD, and does not
/// take the status of children that others have made.
///
/// Thread safety: none; it belongs to the serving thread.
class SOCKETSERVER_EXPORT ChildReaper {
  public:
    ChildReaper();
    ChildReaper(const ChildReaper&) = delete;
    ChildReaper& operator=(const ChildReaper&) = delete;
    /// Does not wait. A child that has not ended is left to init.
    ~ChildReaper();

    /// Forks. Returns true in the child. Standard output is flushed first; otherwise both processes
    /// would write the content of its buffer.
    ///
    /// @throws std::system_error if no process can be made.
    bool fork();
    /// Called in the parent after fork(): keeps the record until that child has been waited for.
    void keep(ConnectionHandle&& request) noexcept;
    /// Takes the status of the children that have ended. With `blocking` it waits for all children.
    void collect(bool blocking) noexcept;
    /// Returns the record of a child that has been waited for, and forgets that child. Returns
    /// nothing if there is none.
    std::optional<ConnectionHandle> take_ended() noexcept;
    /// Tells all children that a drain has begun or has entered its next phase.
    void announce_drain() const noexcept;
    /// Sends a signal to all children.
    void kill(int signal) const noexcept;

    /// How many children there are. May be called from any thread.
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::vector<int> pids() const;
    /// A descriptor that is readable when a child has ended. If the kernel cannot report the end of
    /// one of the children, it becomes readable at intervals. It is -1 until the first child is
    /// made.
    int fileno() const noexcept { return epoll_; }
    /// When the children have to be checked because that descriptor cannot report their ends: the
    /// kernel had no room for what makes it readable. Usually `never`.
    TimePoint check_at() const noexcept;

  private:
    static constexpr int ended = 0;
    struct Child {
        int pid;  // or `ended`, if it has been waited for
        ConnectionHandle request;
        int pidfd;  // -1 if the kernel has no pidfds; the child is then checked in each turn of the
                    // loop
    };
    static constexpr std::size_t usual_children = 40;

    void watch(Child& child) noexcept;
    void set_timer(const itimerspec& when) noexcept;
    void make_timer() noexcept;
    void reap_ended(bool blocking) noexcept;
    void reap(Child& child, int options) noexcept;

    /// Memory for the usual number of children. It is a part of the server, on pages that the
    /// parent writes to anyway (see RecordMemory). The memory for more children comes from the
    /// heap.
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
    int timer_ = -1;  // in the set; expires while there are unwatched children
};

/// Flushes standard output before a fork; otherwise both processes would write the content of its
/// buffer.
void flush_before_fork();
/// Ends a child as `os._exit` does, with its standard output flushed.
[[noreturn]] SOCKETSERVER_EXPORT void exit_child(int status);

}  // namespace socketserver::detail
