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
/// and overrides the functions below that these leave open. TransportServer makes a server of it.
/// There is one object of each transport, which lives as long as the program:
///
///     class MyTransport final : public ConnectionTransport { ... };
///     template <class Handler, template <class> class MixIn = SynchronousMixIn>
///     using MyServer = TransportServer<Handler, MixIn, MyTransport>;
///
/// The server takes care of the file of a socket with a Unix path, whatever the transport is: it
/// replaces the file of a server that has died, and server_close() removes its own.
/// `examples/own_transport.cpp` is a complete transport.
///
/// Thread safety: every function may be called from any thread.
///
/// Python has no counterpart: its servers name a family and a type (`address_family`,
/// `socket_type`).
class SOCKETSERVER_EXPORT Transport {
  public:
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    /// @name What each transport says
    /// @{

    /// `SOCK_STREAM` or another type. A socket of another type is not adopted.
    virtual int socket_type() const noexcept = 0;
    /// Checks an address. Called before any other function, with the address that the server was
    /// given, or that of an adopted socket.
    ///
    /// @throws std::system_error, with `std::errc::address_family_not_supported`, if a server of
    /// this transport cannot have this address.
    virtual void check_address(const Address& address) const = 0;
    /// Makes a socket for a server on `address`, which is not a host name. The socket must be
    /// close-on-exec and not bound.
    ///
    /// @throws std::system_error.
    virtual Socket open(const Address& address) const = 0;
    /// Sets the options of a socket that must be set before it is bound. The default sets nothing.
    ///
    /// @throws std::system_error.
    virtual void prepare_bind(const Socket& socket, const Address& address,
                              const ServerOptions& options) const;
    /// Sets the options of a socket that the transport needs for receiving. The default sets
    /// nothing. Called before a socket is bound, after prepare_bind(), and for a socket that is
    /// adopted.
    ///
    /// @throws std::system_error.
    virtual void prepare_receive(const Socket& socket, const Address& address) const;
    /// @}

    /// @name For a drain (ServerBase::drain())
    /// @{

    /// Stops further clients from entering the kernel's queue of the socket, and keeps those that
    /// are in it. The default does nothing. If a transport cannot do this, a drain also serves the
    /// clients that still come, until it finds the queue empty.
    virtual void stop_queueing(const Socket& socket) const noexcept;
    /// For how long after stop_queueing() clients may still enter the queue because their handshake
    /// was under way; these clients consider themselves connected. The default is zero.
    virtual std::chrono::milliseconds handshake_time() const noexcept;
    /// Called when the queue has been served to its end: clients that come from now on may be
    /// refused at once, rather than when the socket is closed. The default does nothing.
    virtual void stop_listening(const Socket& socket) const noexcept;
    /// @}

    /// True if the requests are connections, each of which has a socket of its own. False if they
    /// are datagrams, which the server's socket receives and answers.
    virtual bool listens() const noexcept = 0;

  protected:
    constexpr Transport() = default;
    ~Transport() = default;
};

/// A transport whose requests are connections: the server's socket listens, and each client is
/// accepted. A handler gets the connection as a Socket.
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT ConnectionTransport : public Transport {
  public:
    /// What handlers of its servers get.
    using Request = Socket;

    bool listens() const noexcept final { return true; }
    /// Accepts the next connection of a non-blocking listening socket. Returns nothing if there is
    /// none.
    ///
    /// @throws std::system_error as accept(2) failed.
    std::optional<std::pair<Socket, Address>> get_request(const std::shared_ptr<Socket>& listening,
                                                          const ServerOptions& options) const;

  protected:
    constexpr ConnectionTransport() = default;
    ~ConnectionTransport() = default;
};

/// A transport whose requests are datagrams. The server's socket receives them, and handlers answer
/// through it.
///
/// Thread safety: as Transport.
class SOCKETSERVER_EXPORT DatagramTransport : public Transport {
  public:
    /// What handlers of its servers get.
    using Request = Datagram;

    bool listens() const noexcept final { return false; }
    /// Receives the next datagram, at most `ServerOptions::max_packet_size` bytes of it. Returns
    /// nothing if there is none.
    ///
    /// @throws std::system_error as recvmsg(2) failed.
    std::optional<std::pair<Datagram, Address>> get_request(const std::shared_ptr<Socket>& bound,
                                                            const ServerOptions& options) const;

  protected:
    constexpr DatagramTransport() = default;
    ~DatagramTransport() = default;
};

/// A class that TransportServer accepts as its transport: it derives from Transport, has the type
/// of a request (Socket or Datagram), and a get_request() that takes one without waiting.
/// ConnectionTransport and DatagramTransport have both; a class may have a get_request() of its
/// own.
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
