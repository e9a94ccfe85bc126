// SPDX-License-Identifier: MIT
#include "socketserver/handover.hpp"

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "io/passed_descriptors.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

void send_listener(Socket& unix_socket, const ServerBase& server) {
    if (server.options().socket_per_worker) {
        throw std::system_error(EOPNOTSUPP, std::system_category(),
                                "send a listening socket: socket_per_worker");
    }
    const int descriptor = server.socket().fileno();
    char byte = 'l';
    detail::DescriptorMessage<1> message{&byte, 1};
    detail::attach_descriptors(message.header, {&descriptor, 1});
    const ssize_t sent = detail::sys::retry_on_eintr(
        [&] { return ::sendmsg(unix_socket.fileno(), &message.header, MSG_NOSIGNAL); });
    if (sent == -1) detail::throw_io_error(unix_socket.channel(), "send a listening socket");
}

Socket receive_listener(Socket& unix_socket) {
    detail::Channel& channel = unix_socket.channel();
    if (detail::wait(channel, detail::Direction::read, channel.until()) == -1) {
        detail::throw_io_error(channel, "receive a listening socket");
    }
    // The room is made before the message is received. The kernel closes descriptors without room;
    // the others belong to this process from then on.
    std::vector<Socket> sockets;
    sockets.reserve(detail::most_descriptors);
    char byte{};
    detail::DescriptorMessage<detail::most_descriptors> message{&byte, 1};
    const ssize_t received = detail::sys::retry_on_eintr(
        [&] { return detail::sys::calls.recvmsg(channel.fd, &message.header, MSG_CMSG_CLOEXEC); });
    if (received == -1) detail::throw_io_error(channel, "receive a listening socket");
    detail::take_descriptors(message.header, sockets);
    if (sockets.size() != 1 || !sockets.front().is_open() ||
        (message.header.msg_flags & MSG_CTRUNC) != 0) {
        throw std::system_error(std::make_error_code(std::errc::bad_message),
                                "receive a listening socket");
    }
    return std::move(sockets.front());
}

}  // namespace socketserver
