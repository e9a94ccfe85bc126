// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "socketserver/socket.hpp"

/// What the tests of everything below the servers need: connections without a server.
namespace socketserver::tests {

/// Far more than any test takes: only what never ends meets it.
inline constexpr std::chrono::seconds longest_wait{20};

struct Pair {
    Socket near;
    Socket far;
};

inline Pair unix_pair(int type = SOCK_STREAM) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == -1) {
        throw std::system_error(errno, std::system_category(), "socketpair");
    }
    return {Socket{ends[0]}, Socket{ends[1]}};
}

inline Socket listening_on(const Address& address) {
    Socket listening{address, SocketType::stream};
    listening.bind(address);
    listening.listen(16);
    return listening;
}

inline Pair tcp_pair() {
    Socket listening = listening_on({"127.0.0.1", 0});
    Socket near = create_connection(listening.getsockname());
    return {std::move(near), listening.accept().first};
}

/// Closes a TCP connection so that the peer gets a reset.
inline void reset(Socket& socket) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.close();
}

/// Sends until the kernel takes no more; returns how much it took.
inline std::size_t fill(Socket& socket) {
    const std::string block(4096, 'x');
    std::size_t filled = 0;
    for (;;) {
        const ssize_t sent = ::send(socket.fileno(), block.data(), block.size(), MSG_DONTWAIT);
        if (sent == -1) return filled;
        filled += static_cast<std::size_t>(sent);
    }
}

inline std::string receive_all(Socket& socket) {
    std::string all;
    for (std::string part = socket.recv(65536); !part.empty(); part = socket.recv(65536)) {
        all += part;
    }
    return all;
}

inline bool is_close_on_exec(int descriptor) {
    return (::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0;
}

inline bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

/// The error number that `operation` throws; 0 if it throws nothing.
template <class Operation>
int error_of(Operation operation) {
    try {
        operation();
    } catch (const std::system_error& error) {
        return error.code().value();
    }
    return 0;
}

/// The text that `operation` throws; empty if it throws nothing.
template <class Operation>
std::string text_of(Operation operation) {
    try {
        operation();
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

/// A name that no other process of this machine takes at the same time: for an abstract address, or
/// a file.
inline std::string own_name(const std::string& of) {
    return "socketserver-test-" + std::to_string(::getpid()) + "-" + of;
}

/// An empty folder that goes with everything in it.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = std::filesystem::temp_directory_path() / "socketserver-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) {
            throw std::system_error(errno, std::system_category(), "mkdtemp");
        }
        path_ = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

/// Sends bytes, and descriptors along with them (SCM_RIGHTS), over a Unix socket. False: not all.
[[nodiscard]] inline bool send_with_descriptors(const Socket& socket, std::string_view bytes,
                                                const std::vector<int>& descriptors) {
    std::string text{bytes};
    iovec part{text.data(), text.size()};
    const std::size_t size = descriptors.size() * sizeof(int);
    std::vector<char> control(CMSG_SPACE(size));
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), descriptors.data(), size);
    return ::sendmsg(socket.fileno(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

class Stopwatch {
  public:
    std::chrono::steady_clock::duration elapsed() const {
        return std::chrono::steady_clock::now() - start_;
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace socketserver::tests
