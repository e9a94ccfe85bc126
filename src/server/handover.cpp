// SPDX-License-Identifier: MIT
#include "socketserver/handover.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace {

/// How many descriptors the kernel passes in one message at most.
constexpr std::size_t most_descriptors = 253;

/// A message of one byte, beside which `count` descriptors have room.
template <std::size_t count>
struct Parcel {
    Parcel() {
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    Parcel(const Parcel&) = delete;
    Parcel& operator=(const Parcel&) = delete;
    ~Parcel() = default;

    char byte = 'l';
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(count * sizeof(int))> control{};
    msghdr message{};
};

/// Owns the descriptors of a received message, from whichever of its parts. All are ours to close,
/// whether somebody wanted them or not. Allocates nothing if `into` has room.
void take_descriptors(msghdr& message, std::vector<Socket>& into) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t size = header->cmsg_len - CMSG_LEN(0);
        for (std::size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + at, sizeof descriptor);
            into.emplace_back(detail::sys::off_standard_streams(descriptor));
        }
    }
}

}  // namespace

void send_listener(Socket& unix_socket, const ServerBase& server) {
    const int descriptor = server.socket().fileno();
    Parcel<1> parcel;
    cmsghdr* header = CMSG_FIRSTHDR(&parcel.message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    const ssize_t sent = detail::sys::retry_on_eintr(
        [&] { return ::sendmsg(unix_socket.fileno(), &parcel.message, MSG_NOSIGNAL); });
    if (sent == -1) detail::throw_io_error(unix_socket.channel(), "send a listening socket");
}

Socket receive_listener(Socket& unix_socket) {
    detail::Channel& channel = unix_socket.channel();
    if (detail::wait(channel, detail::Direction::read, channel.until()) == -1) {
        detail::throw_io_error(channel, "receive a listening socket");
    }
    // Room for whatever comes, made before it does: what has no room the kernel closes, what has
    // some is in this process from then on.
    std::vector<Socket> sockets;
    sockets.reserve(most_descriptors);
    Parcel<most_descriptors> parcel;
    const ssize_t received = detail::sys::retry_on_eintr(
        [&] { return detail::sys::calls.recvmsg(channel.fd, &parcel.message, MSG_CMSG_CLOEXEC); });
    if (received == -1) detail::throw_io_error(channel, "receive a listening socket");
    take_descriptors(parcel.message, sockets);
    if (sockets.size() != 1 || !sockets.front().is_open() ||
        (parcel.message.msg_flags & MSG_CTRUNC) != 0) {
        throw std::system_error(std::make_error_code(std::errc::bad_message),
                                "receive a listening socket");
    }
    return std::move(sockets.front());
}

}  // namespace socketserver
