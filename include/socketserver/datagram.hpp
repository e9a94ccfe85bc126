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

/// The way back to the sender of a datagram, for replies that are sent after the handler has ended,
/// or from another thread. It is a value: copy it, keep it in a map.
///
/// A reply comes from the address to which the client sent its datagram. A ReplyPath keeps the
/// server's socket open, as a Datagram does, so that replies can be sent after server_close() as
/// well. Under ForkingMixIn it is of use only until the child ends.
///
/// Thread safety: send() may be called from any thread or fiber, on copies and on one object.
class SOCKETSERVER_EXPORT ReplyPath {
  public:
    /// Leads nowhere: send() throws.
    ReplyPath() = default;

    /// Sends one datagram.
    ///
    /// @throws std::system_error, as Socket::sendto(); with
    /// `std::errc::destination_address_required` if the client has no address, or this leads
    /// nowhere.
    void send(std::string_view data) const;
    /// The address to which it sends.
    const Address& client_address() const noexcept { return client_address_; }

  private:
    friend class Datagram;
    ReplyPath(std::shared_ptr<Socket> socket, const Address& client, const detail::Arrival& arrival)
        : socket_{std::move(socket)}, client_address_{client}, arrival_{arrival} {}

    std::shared_ptr<Socket> socket_;
    Address client_address_;
    detail::Arrival arrival_;
};

/// One received datagram, and the server's socket to answer with: the request of a datagram server
/// (mirrors Python's pair `(data, socket)`).
///
/// Thread safety: distinct objects are independent; one object may be read from several threads.
///
/// The socket is shared with the server and with the other requests; Socket::sendto() may be called
/// on it from all of them at once. It stays open while a Datagram refers to it, so that a handler
/// can still answer after server_close().
class SOCKETSERVER_EXPORT Datagram {
  public:
    Datagram() = default;
    /// For an override of get_request(), with the values that the members return.
    Datagram(std::string data, bool truncated, std::shared_ptr<Socket> socket,
             const detail::Arrival& arrival = {})
        : data_{std::move(data)},
          truncated_{truncated},
          arrival_{arrival},
          socket_{std::move(socket)} {}

    /// The bytes of the datagram. A datagram may be empty.
    const std::string& data() const noexcept { return data_; }
    /// Whether the datagram was longer than `ServerOptions::max_packet_size` and was cut there.
    bool truncated() const noexcept { return truncated_; }
    /// The server's socket. A reply that a handler sends through it to `client_address()` comes
    /// from the address to which the client sent its datagram, see local_address().
    Socket& socket() const noexcept { return *socket_; }
    /// The address that the datagram was sent to: one of this machine, a group that the server has
    /// joined, or a broadcast address. If the server is bound to one address, it is that address.
    /// If the server is bound to all addresses ("" or "::"), the kernel tells the address with each
    /// datagram.
    ///
    /// @throws std::system_error if the socket was closed.
    Address local_address() const;
    /// The number of the network interface through which the datagram came, as `if_nametoindex`
    /// returns it; 0 if the server is bound to one address, because it then does not ask the kernel
    /// for the interface (IP_PKTINFO).
    std::uint32_t interface_index() const noexcept { return arrival_.interface; }

    /// For replies after the handler's end, or from another thread: `request().reply_path(
    /// client_address())`.
    ReplyPath reply_path(const Address& client_address) const {
        return ReplyPath{socket_, client_address, arrival_};
    }

    /// The client has proved that it is where it says: it has sent something back that the server
    /// had sent there, a cookie for example. For ten minutes nothing that is sent to its address,
    /// or IPv6 network of 64 bits, is withheld (ServerOptions::max_amplification, max_reply_rate).
    /// From any thread.
    void set_source_proved(const Address& client_address) const noexcept;

    /// @name For derived parts of the library
    /// @{

    /// Returns where the datagram arrived if it came through this socket and the kernel has told
    /// the place; otherwise null.
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
    detail::ConnectionHandle connection_;  // the record of this request
};

}  // namespace socketserver
