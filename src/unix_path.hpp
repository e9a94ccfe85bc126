// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>

#include "socketserver/detail/export.hpp"

namespace socketserver {
class Address;
class Socket;
}  // namespace socketserver

namespace socketserver::detail {

/// The file that a bound Unix-domain socket leaves in the file system. Knows which one is its own
/// and removes no other.
class SOCKETSERVER_EXPORT UnixPath {
  public:
    /// Removes what a server that ended without cleaning up left at `address`: a socket on which
    /// nobody listens. Never a living server's socket, never another kind of file; bind() then
    /// fails with EADDRINUSE.
    static void clear_stale(const Address& address, int socket_type);

    /// The server has just bound `address`.
    void own(const Address& address);
    /// Removes the file, if it is still the one that was bound here.
    void remove() noexcept;
    /// Forgets it: another process owns it, or will.
    void disown() noexcept { path_.clear(); }

  private:
    std::string path_;
    dev_t device_{};
    ino_t inode_{};
};

}  // namespace socketserver::detail
