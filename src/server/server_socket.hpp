// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "request/request_table.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The socket of a server. Datagram requests and ReplyPaths keep it, and may outlive the server:
/// so it keeps the counters of what is sent through it.
struct ServerSocket : Socket {
    explicit ServerSocket(Socket&& socket) noexcept : Socket{std::move(socket)} {}

    /// For a socket that receives requests itself.
    void count_in(std::shared_ptr<RequestTable> the_table) noexcept {
        channel().datagrams = &the_table->counters->datagrams;
        table = std::move(the_table);
    }

    std::shared_ptr<RequestTable> table;
};

}  // namespace socketserver::detail
