// SPDX-License-Identifier: MIT
#include "socketserver/detail/get_request.hpp"

#include <cerrno>

#include "buffer_pool.hpp"
#include "client_sockets.hpp"
#include "connection.hpp"
#include "sockaddr.hpp"
#include "socket_error.hpp"
#include "sys.hpp"

namespace socketserver::detail {

std::optional<std::pair<Socket, Address>> accept_request(Socket& listening) {
    SockAddr peer;
    const int descriptor = sys::retry_on_eintr([&] {
        peer.size = sizeof peer.storage;
        return sys::calls.accept4(listening.fileno(), peer.get(), &peer.size, SOCK_CLOEXEC);
    });
    if (descriptor != -1) {
        Socket request{descriptor};
        request.channel().is_stream = true;
        return std::pair{std::move(request), from_sockaddr(peer)};
    }
    if (errno == EAGAIN) return {};
    throw_system_error("accept");
}

std::optional<std::pair<Datagram, Address>> receive_request(const std::shared_ptr<Socket>& socket,
                                                            std::size_t max_packet_size) {
    const PooledBuffer buffer{max_packet_size};
    SockAddr peer;
    iovec part{buffer.data(), max_packet_size};
    msghdr message{};
    message.msg_name = peer.get();
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t received = sys::retry_on_eintr([&] {
        message.msg_namelen = sizeof peer.storage;
        return sys::calls.recvmsg(socket->fileno(), &message, MSG_DONTWAIT);
    });
    if (received == -1) {
        if (errno == EAGAIN) return {};
        throw_system_error("receive a datagram");
    }
    peer.size = message.msg_namelen;
    const bool truncated = (message.msg_flags & MSG_TRUNC) != 0;
    return std::pair{
        Datagram{std::string(buffer.data(), static_cast<std::size_t>(received)), truncated, socket},
        peer.size == 0 ? Address{} : from_sockaddr(peer)};
}

void end_output(Socket& connection) noexcept {
    if (!connection.is_open()) return;
    // With the last descriptor closing says the same to a client that has ended its side as well:
    // nothing is left unread. One system call of the five of a short connection.
    const Connection* record = connection.channel().connection.get();
    if (record != nullptr && record->client_ended && !ClientSockets::may_be_inherited()) return;
    sys::calls.shutdown(connection.fileno(), SHUT_WR);
}

}  // namespace socketserver::detail
