// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/arrival.hpp"
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

/// The way back to who sent a datagram: for replies that come later than the handler's end, or from
/// another thread. A value: copy it, keep it in a map.
///
/// What is sent comes from the address that the client has asked, and reaches it for as long as the
/// program has the server's socket: a ReplyPath keeps it open, as a Datagram does. Under
/// ForkingMixIn it ends with the child.
///
/// Thread safety: send() may be called from any thread or fiber, on copies and on one object.
class SOCKETSERVER_EXPORT ReplyPath {
  public:
    /// Leads nowhere.
    ReplyPath() = default;

    /// Sends one datagram.
    ///
    /// @throws std::system_error, as Socket::sendto(); with
    /// `std::errc::destination_address_required` if the client has no address, or this leads
    /// nowhere.
    void send(std::string_view data) const;
    /// Where it leads.
    const Address& client_address() const noexcept { return client_address_; }

  private:
    friend class Datagram;
    ReplyPath(std::shared_ptr<Socket> socket, const Address& client, const detail::Arrival& arrival)
        : socket_{std::move(socket)}, client_address_{client}, arrival_{arrival} {}

    std::shared_ptr<Socket> socket_;
    Address client_address_;
    detail::Arrival arrival_;
};

/// One received datagram, and the server's socket to answer with: the request of a datagram
/// server (mirrors Python's pair `(data, socket)`).
///
/// The socket is shared with the server and with the other requests; Socket::sendto() may be called
/// on it from all of them at once. It stays open while a Datagram refers to it, so that a handler
/// can still answer after server_close().
class SOCKETSERVER_EXPORT Datagram {
  public:
    Datagram() = default;
    /// For a get_request() of one's own: what the members return.
    Datagram(std::string data, bool truncated, std::shared_ptr<Socket> socket,
             const detail::Arrival& arrival = {})
        : data_{std::move(data)},
          truncated_{truncated},
          arrival_{arrival},
          socket_{std::move(socket)} {}

    /// What was received; may be empty, because a datagram may be.
    const std::string& data() const noexcept { return data_; }
    /// Whether the datagram was longer than `ServerOptions::max_packet_size` and was cut there.
    bool truncated() const noexcept { return truncated_; }
    /// The server's socket. What a handler sends through it to `client_address()` comes from the
    /// address that the client has asked, see local_address().
    Socket& socket() const noexcept { return *socket_; }
    /// The address that the datagram was sent to: one of this machine, a group that the server has
    /// joined, or a broadcast address. For a server that is bound to one address it is that one;
    /// one that is bound to all of them ("" or "::") learns it from the kernel with each datagram.
    ///
    /// @throws std::system_error if the socket was closed.
    Address local_address() const;
    /// The number of the network interface that the datagram came by, as `if_nametoindex` has it;
    /// 0 if the server is bound to one address, and did not ask for it (IP_PKTINFO).
    std::uint32_t interface_index() const noexcept { return arrival_.interface; }

    /// For replies after the handler's end, or from another thread: `request().reply_path(
    /// client_address())`. The datagram stays where it is.
    ReplyPath reply_path(const Address& client_address) const {
        return ReplyPath{socket_, client_address, arrival_};
    }

    /// @name For derived parts of the library
    /// @{

    /// If it came through this socket, and the kernel has told where; otherwise null.
    const detail::Arrival* arrival_through(const detail::Channel& channel) const noexcept {
        const bool is_told = arrival_.family != AddressFamily::none;
        return is_told && socket_ && &socket_->channel() == &channel ? &arrival_ : nullptr;
    }
    /// @}

  private:
    friend detail::ConnectionHandle& detail::record_of(Datagram& request);
    friend int detail::undelivered(const Datagram& request) noexcept;
    friend detail::Connection* detail::datagram_request() noexcept;

    std::string data_;
    bool truncated_ = false;
    detail::Arrival arrival_;
    std::shared_ptr<Socket> socket_;
    detail::ConnectionHandle connection_;  // what the server keeps of this request
};

}  // namespace socketserver
