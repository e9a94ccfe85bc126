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
    UnixPath() = default;
    UnixPath(const UnixPath&) = delete;
    UnixPath& operator=(const UnixPath&) = delete;
    ~UnixPath() { settle(); }

    /// Called before bind(): removes a stale socket (clear_stale()), and locks the folder with
    /// flock(2) until settle(), so that no other server of this library does the same meanwhile.
    /// The lock is needed because a socket that is bound and does not listen yet looks stale: of
    /// two servers that find a stale one, the later would remove what the earlier has just bound.
    /// Waits for the lock up to a second; after that nothing is removed. A folder that cannot be
    /// locked is used without a lock.
    void claim(const Address& address, int socket_type);
    /// Ends claim(): clients can connect to the server now, or it has failed.
    void settle() noexcept;

    /// Removes what a server that ended without cleaning up left at `address`: a socket on which
    /// nobody listens. Never a living server's socket, never another kind of file; bind() then
    /// fails with EADDRINUSE.
    static void clear_stale(const Address& address, int socket_type);

    /// The server has just bound `address`. A relative path is remembered as an absolute one,
    /// because the program may change its working directory.
    void own(const Address& address, int socket_type);
    /// Whether another process still has a socket open that is bound to the file. To be called when
    /// this process has closed its own. A process that listens does not notice the check.
    bool is_open_elsewhere() const noexcept;
    /// Removes the file, if it is still the one that was bound here.
    void remove() noexcept;
    /// Forgets the file, because another process owns it, or will own it.
    void disown() noexcept {
        settle();
        path_.clear();
    }

  private:
    int folder_ = -1;   // locked
    std::string path_;  // absolute, if the working directory is known
    int socket_type_ = 0;
    dev_t device_{};
    ino_t inode_{};
};

}  // namespace socketserver::detail
