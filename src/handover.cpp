// SPDX-License-Identifier: MIT
#include "socketserver/handover.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "socket_error.hpp"
#include "socketserver/detail/blocking_io.hpp"
#include "socketserver/server_base.hpp"
#include "sys.hpp"

namespace socketserver {

namespace {

/// A message of one byte, beside which one descriptor travels.
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
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
};

}  // namespace

void send_listener(Socket& unix_socket, const ServerBase& server) {
    const int descriptor = server.socket().fileno();
    Parcel parcel;
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
    Parcel parcel;
    const ssize_t received = detail::sys::retry_on_eintr(
        [&] { return detail::sys::calls.recvmsg(channel.fd, &parcel.message, MSG_CMSG_CLOEXEC); });
    if (received == -1) detail::throw_io_error(channel, "receive a listening socket");
    const cmsghdr* header = CMSG_FIRSTHDR(&parcel.message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int))) {
        throw std::system_error(std::make_error_code(std::errc::bad_message),
                                "receive a listening socket");
    }
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return Socket{descriptor};
}

}  // namespace socketserver
