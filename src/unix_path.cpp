// SPDX-License-Identifier: MIT
#include "unix_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sockaddr.hpp"
#include "socketserver/address.hpp"
#include "socketserver/socket.hpp"
#include "sys.hpp"

namespace socketserver::detail {

namespace {

bool is_file(const Address& address) { return address.is_unix() && address.path().front() != '@'; }

/// Whether connecting is refused as it is when no process has the socket open any more.
bool nobody_is_there(const Address& address, int socket_type) {
    Socket probe{sys::calls.socket(AF_UNIX, socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!probe.is_open()) return false;
    const SockAddr raw = to_sockaddr(address);
    return sys::calls.connect(probe.fileno(), raw.get(), raw.size) == -1 && errno == ECONNREFUSED;
}

}  // namespace

void UnixPath::clear_stale(const Address& address, int socket_type) {
    struct stat status {};
    if (!is_file(address) || ::lstat(address.path().c_str(), &status) == -1) return;
    if (S_ISSOCK(status.st_mode) && nobody_is_there(address, socket_type)) {
        ::unlink(address.path().c_str());
    }
}

void UnixPath::own(const Address& address) {
    struct stat status {};
    if (!is_file(address) || ::lstat(address.path().c_str(), &status) == -1) return;
    path_ = address.path();
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

void UnixPath::remove() noexcept {
    struct stat status {};
    if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_) {
        ::unlink(path_.c_str());
    }
    path_.clear();
}

}  // namespace socketserver::detail
