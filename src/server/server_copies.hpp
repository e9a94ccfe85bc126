// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include "os/shared_memory.hpp"

namespace socketserver::detail {

/// The processes that have a server of their own on one listening socket because the program forked
/// and serves in the child. They are the process that made the server, and each process that serves
/// a copy of it. The list lies in memory that they share.
///
/// Children and workers of a policy are not in the list; their server is the parent's.
///
/// Thread safety: all members may be called from any thread.
class ServerCopies {
  public:
    /// @throws std::system_error if there is no memory.
    ServerCopies();
    ServerCopies(const ServerCopies&) = delete;
    ServerCopies& operator=(const ServerCopies&) = delete;
    ~ServerCopies();

    /// Add the calling process to the list, or remove it. Both are idempotent.
    void join() noexcept;
    void leave() noexcept;
    /// Whether the list has several processes, of which some may have ended without leaving it.
    bool are_several() const noexcept;
    /// Whether the list has another process that is alive.
    bool has_others() const noexcept;

  private:
    struct Processes;
    SharedMemory<Processes> processes_;
};

}  // namespace socketserver::detail
