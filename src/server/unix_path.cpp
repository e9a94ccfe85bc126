// SPDX-License-Identifier: MIT
#include "server/unix_path.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "io/sockaddr.hpp"
#include "os/sys.hpp"
#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

namespace {

bool is_file(const Address& address) { return address.is_unix() && address.path().front() != '@'; }

/// Whether connecting fails as it does when no process has the socket open any more.
bool nobody_is_there(const Address& address, int socket_type) {
    Socket probe{sys::calls.socket(AF_UNIX, socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!probe.is_open()) return false;
    const SockAddr raw = to_sockaddr(address);
    return sys::calls.connect(probe.fileno(), raw.get(), raw.size) == -1 && errno == ECONNREFUSED;
}

constexpr std::chrono::seconds longest_wait{1};

std::filesystem::path folder_of(const Address& address) {
    const std::filesystem::path folder = std::filesystem::path{address.path()}.parent_path();
    return folder.empty() ? "." : folder;
}

/// Returns false if the lock could not be taken in time, or not at all.
bool lock(int folder) noexcept {
    const TimePoint until = Clock::now() + longest_wait;
    while (::flock(folder, LOCK_EX | LOCK_NB) == -1) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || Clock::now() >= until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

}  // namespace

void UnixPath::claim(const Address& address, int socket_type) {
    if (!is_file(address)) return;
    settle();
    folder_ = sys::off_standard_streams(
        ::open(folder_of(address).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder_ != -1 && !lock(folder_)) {
        const bool is_taken = errno == EWOULDBLOCK;
        sys::calls.close(std::exchange(folder_, -1));
        if (is_taken) return;  // its owner may be about to listen
    }
    clear_stale(address, socket_type);
}

void UnixPath::settle() noexcept {
    if (folder_ == -1) return;
    ::flock(folder_, LOCK_UN);  // a forked child may have a copy of the descriptor
    sys::calls.close(std::exchange(folder_, -1));
}

void UnixPath::clear_stale(const Address& address, int socket_type) {
    struct stat status {};
    if (!is_file(address) || ::lstat(address.path().c_str(), &status) == -1) return;
    if (S_ISSOCK(status.st_mode) && nobody_is_there(address, socket_type)) {
        ::unlink(address.path().c_str());
    }
}

void UnixPath::own(const Address& address, int socket_type) {
    struct stat status {};
    if (!is_file(address) || ::lstat(address.path().c_str(), &status) == -1) return;
    std::error_code unknown;
    path_ = std::filesystem::absolute(address.path(), unknown);
    if (unknown) path_ = address.path();
    socket_type_ = socket_type;
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

bool UnixPath::is_open_elsewhere() const noexcept {
    sockaddr_un address{};
    if (path_.empty() || path_.size() >= sizeof address.sun_path) return false;
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    // The socket has another type than the one of the file. So the error tells whether a process
    // has the file's socket open, and no connection is made.
    const int another_type = socket_type_ == SOCK_SEQPACKET ? SOCK_STREAM : SOCK_SEQPACKET;
    const Socket probe{sys::calls.socket(AF_UNIX, another_type | SOCK_CLOEXEC, 0)};
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    return probe.is_open() && sys::calls.connect(probe.fileno(), raw, sizeof address) == -1 &&
           errno == EPROTOTYPE;
}

void UnixPath::remove() noexcept {
    settle();
    struct stat status {};
    if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_) {
        ::unlink(path_.c_str());
    }
    path_.clear();
}

}  // namespace socketserver::detail
