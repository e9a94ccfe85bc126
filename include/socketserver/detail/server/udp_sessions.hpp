// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The sessions of a UDPSessionServer: makes a connected socket for each client, to which the
/// kernel then delivers what that client sends.
///
/// What was in the queue of the server's socket when a session began stays with the object until it
/// is asked for, unless it belongs to that session.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT UdpSessions {
  public:
    UdpSessions();
    UdpSessions(const UdpSessions&) = delete;
    UdpSessions& operator=(const UdpSessions&) = delete;
    ~UdpSessions();

    /// Lets the sockets of sessions be bound to the address of the server's, which is bound.
    ///
    /// @throws std::system_error.
    static void share_port(Socket& server);
    /// Takes the next datagram of a client without a session and begins one; nothing if none is
    /// there.
    ///
    /// @throws std::system_error as recvmsg(2) failed, or if there is no descriptor to be had; the
    /// datagram is kept then.
    std::optional<std::pair<Socket, Address>> begin_next(Socket& server);
    /// Whether begin_next() would find something although the kernel has nothing.
    bool has_waiting() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace socketserver::detail
