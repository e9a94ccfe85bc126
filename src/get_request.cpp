// SPDX-License-Identifier: MIT
#include "socketserver/detail/get_request.hpp"

#include <cerrno>
#include <utility>

#include "client_sockets.hpp"
#include "connection.hpp"
#include "receive_datagram.hpp"
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
        request.channel().stream = byte_stream_of(peer.get()->sa_family);
        return std::pair{std::move(request), from_sockaddr(peer)};
    }
    if (errno == EAGAIN) return {};
    throw_system_error("accept");
}

std::optional<std::pair<Datagram, Address>> receive_request(const std::shared_ptr<Socket>& socket,
                                                            std::size_t max_packet_size) {
    auto received = receive_datagram(socket->fileno(), max_packet_size);
    if (received) {
        return std::pair{Datagram{std::move(received->data), received->truncated, socket},
                         std::move(received->from)};
    }
    if (errno == EAGAIN) return {};
    throw_system_error("receive a datagram");
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
