// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "request/request_table.hpp"
#include "server/datagram_queue.hpp"
#include "server/worker_sockets.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The socket of a server. Datagram requests and ReplyPaths share its ownership, and may outlive
/// the server. So it owns the table with the counters of what is sent through it.
struct ServerSocket : Socket {
    explicit ServerSocket(Socket&& socket) noexcept : Socket{std::move(socket)} {}

    /// To be called for a socket that receives requests itself.
    ///
    /// @param the_queue null for a socket from which each datagram is received alone.
    /// @param counters in memory of the table.
    void count_in(std::shared_ptr<RequestTable> the_table, std::shared_ptr<DatagramQueue> the_queue,
                  DatagramCounters& counters) noexcept {
        channel().datagrams = &counters;
        table = std::move(the_table);
        queue = std::move(the_queue);
    }

    /// The socket, if it is one that receives requests; otherwise null.
    static ServerSocket* of(Socket& socket) noexcept {
        // Only the sockets of servers have these counters, and they are never moved.
        if (socket.channel().datagrams == nullptr) return nullptr;
        return static_cast<ServerSocket*>(&socket);
    }

    std::shared_ptr<RequestTable> table;
    std::shared_ptr<DatagramQueue> queue;
    /// Which this process serves as well.
    WorkerSockets more;
};

}  // namespace socketserver::detail
