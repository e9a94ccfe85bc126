// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "request/request_table.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The socket of a server. Datagram requests and ReplyPaths share its ownership, and may outlive
/// the server. So it owns the table with the counters of what is sent through it.
struct ServerSocket : Socket {
    explicit ServerSocket(Socket&& socket) noexcept : Socket{std::move(socket)} {}

    /// To be called for a socket that receives requests itself.
    void count_in(std::shared_ptr<RequestTable> the_table) noexcept {
        channel().datagrams = &the_table->counters->datagrams;
        table = std::move(the_table);
    }

    std::shared_ptr<RequestTable> table;
};

}  // namespace socketserver::detail
