// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The sessions of a UDPSessionServer: makes a connected socket for each client, to which the
/// kernel then delivers what that client sends.
///
/// When a session begins, the object takes all datagrams from the queue of the server's socket.
/// Those that do not belong to the session stay with the object until begin_next() takes them.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT UdpSessions {
  public:
    UdpSessions();
    UdpSessions(const UdpSessions&) = delete;
    UdpSessions& operator=(const UdpSessions&) = delete;
    ~UdpSessions();

    /// @throws std::system_error if a server of sessions cannot have these options.
    static void check(const ServerOptions& options);
    /// Allows the sockets of sessions to be bound to the address of the server's socket, which must
    /// be bound already.
    ///
    /// @throws std::system_error.
    static void share_port(Socket& server);
    /// Takes the next datagram of a client that has no session, and begins one. Returns nothing if
    /// there is no such datagram.
    ///
    /// @throws std::system_error if recvmsg(2) failed, or if no descriptor can be made; the
    /// datagram is then kept.
    std::optional<std::pair<Socket, Address>> begin_next(Socket& server);
    /// Whether begin_next() would find a datagram that was already taken from the kernel.
    bool has_waiting() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace socketserver::detail
