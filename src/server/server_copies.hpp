// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include "os/shared_memory.hpp"

namespace socketserver::detail {

/// The processes that have a server of their own on one listening socket, because the program
/// forked and serves in the child. They are the process that made the server, and each process that
/// serves a copy of it. The list lies in memory that they share.
///
/// Not the children and the workers of a policy; their server is the parent's.
class ServerCopies {
  public:
    /// @throws std::system_error if there is no memory.
    ServerCopies();
    ServerCopies(const ServerCopies&) = delete;
    ServerCopies& operator=(const ServerCopies&) = delete;
    ~ServerCopies();

    /// The calling process has one, or (idempotent) has none any more.
    void join() noexcept;
    void leave() noexcept;
    /// Whether a process other than the calling one has one and lives.
    bool has_others() const noexcept;

  private:
    struct Processes;
    SharedMemory<Processes> processes_;
};

}  // namespace socketserver::detail
