// SPDX-License-Identifier: MIT
#include "socketserver/detail/server/get_request.hpp"

#include <cerrno>
#include <tuple>
#include <utility>

#include "io/close_on_fork.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "request/connection.hpp"
#include "request/request_table.hpp"
#include "server/server_socket.hpp"
#include "socketserver/transport.hpp"
#include "socketserver/udp_server.hpp"

namespace socketserver::detail {

std::optional<std::pair<Datagram, Address>> receive_request(const std::shared_ptr<Socket>& socket,
                                                            std::size_t max_packet_size,
                                                            bool is_told) {
    ServerSocket* const own = ServerSocket::of(*socket);
    const auto take_from = [&](const std::shared_ptr<Socket>& from, DatagramQueue* queue) {
        return queue != nullptr ? queue->take(from, max_packet_size, is_told)
                                : DatagramQueue::take_one(from, max_packet_size, is_told);
    };
    const std::size_t more = own == nullptr ? 0 : own->more.size();
    if (more == 0) return take_from(socket, own == nullptr ? nullptr : own->queue.get());
    const std::size_t first = own->more.turn();
    std::optional<std::pair<Datagram, Address>> taken;
    for (std::size_t i = 0; i <= more && !taken; ++i) {
        const std::size_t turn = (first + i) % (more + 1);
        own->more.set_turn(turn + 1);
        taken = turn == 0 ? take_from(socket, own->queue.get())
                          : take_from(own->more[turn - 1], nullptr);
    }
    return taken;
}

void end_output(Socket& connection) noexcept {
    if (!connection.is_open()) return;
    if (ByteFilter* const filter = connection.channel().filter.get()) {
        filter->shutdown(connection.channel());
    }
    // If the client has ended its side, no input is left unread, and closing the last descriptor
    // has the same effect for the client. That saves one of the five system calls of a short
    // connection.
    const Connection* record = connection.channel().connection.get();
    if (record != nullptr && record->client_ended && !CloseOnFork::may_be_inherited()) return;
    sys::calls.shutdown(connection.fileno(), SHUT_WR);
}

namespace {

/// Whether the client, which has not ended its side, would lose its answer if the connection were
/// closed now. A client that was refused has sent its request or is about to send it. After a
/// handler, unread input is the only sign that more will come. Waiting for the end of every client
/// would cost each of them a turn.
bool is_still_sending(Socket& connection, const Connection& record) noexcept {
    if (record.bytes_out.load() == 0 || record.is_reset || connection.peer_gone() ||
        record.cancelled.load()) {
        return false;
    }
    char first{};
    const ByteFilter* const filter = connection.channel().filter.get();
    return record.is_refused || (filter != nullptr && filter->has_pending()) ||
           sys::calls.recv(connection.fileno(), &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace

void close_connection(Socket& connection) noexcept {
    if (!connection.is_open()) return;
    const Connection* record = connection.channel().connection.get();
    if (record == nullptr || record->client_ended || !is_still_sending(connection, *record)) {
        return connection.close();
    }
    const std::shared_ptr<RequestTable> table = record->table;
    connection.channel().filter.reset();  // Lingering discards what comes, so it needs no filter
    const int descriptor = connection.detach();
    if (table->in_child()) {
        Lingering::linger_here(descriptor);
    } else {
        table->linger(descriptor);
    }
}

}  // namespace socketserver::detail

namespace socketserver {

std::optional<std::pair<Socket, Address>> ConnectionTransport::get_request(
    const std::shared_ptr<Socket>& listening, const ServerOptions&) const {
    std::optional<std::pair<Socket, Address>> accepted;
    detail::SockAddr peer;
    int descriptor = -1;
    do {
        peer.size = sizeof peer.storage;
        descriptor =
            detail::sys::calls.accept4(listening->fileno(), peer.get(), &peer.size, SOCK_CLOEXEC);
    } while (descriptor == -1 && errno == EINTR);
    if (descriptor == -1) {
        if (errno != EAGAIN) detail::throw_system_error("accept");
        return accepted;
    }
    // The socket is made in place before the address, so that it is owned if the address cannot be
    // made for lack of memory.
    accepted.emplace(std::piecewise_construct, std::forward_as_tuple(descriptor),
                     std::forward_as_tuple());
    auto& [request, client_address] = *accepted;
    if (socket_type() == SOCK_STREAM) {
        request.channel().stream = detail::byte_stream_of(peer.get()->sa_family);
    }
    client_address = detail::from_sockaddr(peer);
    return accepted;
}

std::optional<std::pair<Datagram, Address>> DatagramTransport::get_request(
    const std::shared_ptr<Socket>& bound, const ServerOptions& options) const {
    return detail::receive_request(bound, options.max_packet_size);
}

std::optional<std::pair<Datagram, Address>> UDPTransport::get_request(
    const std::shared_ptr<Socket>& bound, const ServerOptions& options) const {
    return detail::receive_request(bound, options.max_packet_size, true);
}

}  // namespace socketserver
