// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "content.hpp"
#include "packet.hpp"
#include "terms.hpp"

namespace tftp {

namespace ss = socketserver;

/// A datagram of the session, without waiting: select() may have seen an empty one, which recv()
/// passes over. Empty: the client has closed its port. Changes the timeout of the session.
std::optional<std::string> receive_if_there(ss::Socket& session);

/// A transfer with one client, from a port of its own, as RFC 1350 wants it. The session of the
/// server is watched meanwhile: there the client may repeat its request, or begin another one.
class Transfer {
  public:
    /// @param request the datagram that has begun the transfer.
    Transfer(ss::Socket& session, const ss::Address& client, std::string request,
             const Rules& rules);

    /// Sends a file.
    void send(Source& source, const Terms& terms);
    /// Receives a file; returns when the client has been told that it is there.
    void receive(Sink& sink, const Terms& terms);
    /// Says why there is none.
    void refuse(const Refusal& refusal);

    /// The request by which the client has ended this transfer; empty: none.
    const std::string& next_request() const { return next_; }

  private:
    using TimePoint = std::chrono::steady_clock::time_point;
    enum class Event : unsigned char { packet, silence, over };

    Event wait(TimePoint until);
    Event wait_for(Opcode opcode, TimePoint until);
    std::optional<std::size_t> acknowledged(std::uint16_t first, std::size_t size, TimePoint until);
    void give_up();
    void repeat_while_wanted(const std::string& answer, std::chrono::nanoseconds within);

    ss::Socket& session_;
    ss::Socket socket_;
    const Rules& rules_;
    const std::string request_;
    std::string next_;
    std::string packet_;   // the last that came
    Numbered numbered_{};  // the same, parsed
};

}  // namespace tftp
