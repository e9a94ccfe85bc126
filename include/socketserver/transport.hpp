// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

/// What differs between one kind of server socket and another: TCP, UDP, Unix stream, Unix
/// datagram, or one of your own.
///
/// A transport is a class without state that derives from ConnectionTransport or DatagramTransport
/// and says below what they leave open. TransportServer makes a server of it; there is one object
/// of each transport, which lives as long as the program:
///
///     class MyTransport final : public ConnectionTransport { ... };
///     template <class Handler, template <class> class MixIn = SynchronousMixIn>
///     using MyServer = TransportServer<Handler, MixIn, MyTransport>;
///
/// The file that a socket with a Unix path leaves is the server's business, whatever the transport:
/// one that a dead server left is replaced, and the server's own is removed by server_close().
/// `examples/own_transport.cpp` is a whole one.
///
/// Thread safety: every function may be called from any thread.
///
/// Python has none: its servers name a family and a type (`address_family`, `socket_type`).
class SOCKETSERVER_EXPORT Transport {
  public:
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    /// @name What each transport says
    /// @{

    /// `SOCK_STREAM` or another type. A socket of another type is not adopted.
    virtual int socket_type() const noexcept = 0;
    /// Called before anything else, with the address that the server was given, or the one that an
    /// adopted socket has.
    ///
    /// @throws std::system_error, with `std::errc::address_family_not_supported`, unless a server
    /// of this transport can have it.
    virtual void check_address(const Address& address) const = 0;
    /// A new socket for a server on `address`, which is no host name; not bound, close-on-exec.
    ///
    /// @throws std::system_error.
    virtual Socket open(const Address& address) const = 0;
    /// Sets on a socket what must be set before it is bound; by default nothing.
    ///
    /// @throws std::system_error.
    virtual void prepare_bind(const Socket& socket, const Address& address,
                              const ServerOptions& options) const;
    /// Sets on a socket what the transport needs for receiving; by default nothing. Called before a
    /// socket is bound, after prepare_bind(), and for a socket that is adopted.
    ///
    /// @throws std::system_error.
    virtual void prepare_receive(const Socket& socket, const Address& address) const;
    /// @}

    /// @name For a drain (ServerBase::drain())
    /// @{

    /// From now on nobody gets into the kernel's queue of the socket, and nobody who is in it is
    /// lost. Where this cannot be done, as by default, a drain serves whoever comes until nobody is
    /// found in the queue.
    virtual void stop_queueing(const Socket& socket) const noexcept;
    /// For how long after stop_queueing() clients may still come into the queue, who believe to be
    /// connected: their handshake was under way. By default not at all.
    virtual std::chrono::milliseconds handshake_time() const noexcept;
    /// The queue has been served to its end: whoever comes now may be refused at once, rather than
    /// when the socket is closed. By default nothing happens.
    virtual void stop_listening(const Socket& socket) const noexcept;
    /// @}

    /// Whether the requests are connections, each of which has a socket of its own; otherwise they
    /// are received by the server's socket, and answered through it.
    virtual bool listens() const noexcept = 0;

  protected:
    constexpr Transport() = default;
    ~Transport() = default;
};

/// A transport whose requests are connections: the server's socket listens, and each client is
/// accepted. A handler gets the connection as a Socket.
class SOCKETSERVER_EXPORT ConnectionTransport : public Transport {
  public:
    /// What handlers of its servers get.
    using Request = Socket;

    bool listens() const noexcept final { return true; }
    /// The next connection of a listening socket that does not block; nothing if there is none.
    ///
    /// @throws std::system_error as accept(2) failed.
    std::optional<std::pair<Socket, Address>> get_request(const std::shared_ptr<Socket>& listening,
                                                          const ServerOptions& options) const;

  protected:
    constexpr ConnectionTransport() = default;
    ~ConnectionTransport() = default;
};

/// A transport whose requests are datagrams, which the server's socket receives and handlers answer
/// through it.
class SOCKETSERVER_EXPORT DatagramTransport : public Transport {
  public:
    /// What handlers of its servers get.
    using Request = Datagram;

    bool listens() const noexcept final { return false; }
    /// The next datagram, at most `ServerOptions::max_packet_size` bytes of it; nothing if there is
    /// none.
    ///
    /// @throws std::system_error as recvmsg(2) failed.
    std::optional<std::pair<Datagram, Address>> get_request(const std::shared_ptr<Socket>& bound,
                                                            const ServerOptions& options) const;

  protected:
    constexpr DatagramTransport() = default;
    ~DatagramTransport() = default;
};

/// What TransportServer takes: derives from Transport, says what a request is (Socket or Datagram)
/// and how one is taken, without waiting. ConnectionTransport and DatagramTransport say both; a
/// class may say another get_request() than theirs.
template <class T>
concept transport_class = std::derived_from<T, Transport> &&
    (std::same_as<typename T::Request, Socket> ||
     std::same_as<typename T::Request, Datagram>)&&requires(const T& transport,
                                                            const std::shared_ptr<Socket>& socket,
                                                            const ServerOptions& options) {
    {
        transport.get_request(socket, options)
        } -> std::same_as<std::optional<std::pair<typename T::Request, Address>>>;
};

}  // namespace socketserver
