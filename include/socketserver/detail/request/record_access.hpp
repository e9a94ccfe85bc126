// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "socketserver/datagram.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/socket.hpp"

// Where each kind of request carries its Connection.
namespace socketserver::detail {

struct RecordAccess {
    static void attach(Socket& request, ConnectionHandle record) {
        request.channel().connection = std::move(record);
    }
    static void attach(Datagram& request, ConnectionHandle record) {
        request.connection_ = std::move(record);
    }
    static Connection* of(Socket& request) { return request.channel().connection.get(); }
    static Connection* of(const Datagram& request) { return request.connection_.get(); }

    /// The request itself, if it is a datagram.
    static const Datagram* datagram(const Socket&) { return nullptr; }
    static const Datagram* datagram(const Datagram& request) { return &request; }

    static ConnectionHandle share(Socket& request) { return request.channel().connection; }
    static ConnectionHandle share(Datagram& request) { return request.connection_; }

    static ConnectionHandle take(Socket& request) {
        return std::move(request.channel().connection);
    }
    static ConnectionHandle take(Datagram& request) { return std::move(request.connection_); }

    static int fileno(const Socket& request) { return request.fileno(); }
    static int fileno(const Datagram&) { return -1; }
    static bool peer_gone(const Socket& request) { return request.peer_gone(); }
    static bool peer_gone(const Datagram& request) { return undelivered(of(request)) != 0; }
};

}  // namespace socketserver::detail
