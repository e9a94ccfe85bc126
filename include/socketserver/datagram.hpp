// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

class Datagram;
namespace detail {
ConnectionHandle& record_of(Datagram& request);
SOCKETSERVER_EXPORT int undelivered(const Datagram& request) noexcept;
/// The request that the calling thread, or fiber, serves, if it is a datagram.
Connection* datagram_request() noexcept;
}  // namespace detail

/// One received datagram, and the server's socket to answer with: the request of a datagram
/// server (mirrors Python's pair `(data, socket)`).
///
/// The socket is shared with the server and with the other requests; Socket::sendto() may be called
/// on it from all of them at once. It stays open while a Datagram refers to it, so that a handler
/// can still answer after server_close().
class Datagram {
  public:
    Datagram() = default;
    Datagram(std::string data, bool truncated, std::shared_ptr<Socket> socket)
        : data_{std::move(data)}, truncated_{truncated}, socket_{std::move(socket)} {}

    /// What was received; may be empty, because a datagram may be.
    const std::string& data() const noexcept { return data_; }
    /// Whether the datagram was longer than `ServerOptions::max_packet_size` and was cut there.
    bool truncated() const noexcept { return truncated_; }
    Socket& socket() const noexcept { return *socket_; }

  private:
    friend detail::ConnectionHandle& detail::record_of(Datagram& request);
    friend int detail::undelivered(const Datagram& request) noexcept;
    friend detail::Connection* detail::datagram_request() noexcept;

    std::string data_;
    bool truncated_ = false;
    std::shared_ptr<Socket> socket_;
    detail::ConnectionHandle connection_;  // what the server keeps of this request
};

}  // namespace socketserver
