// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>

#include "socketserver/detail/export.hpp"

namespace socketserver {

class BufferedReader;
class Socket;

/// Why relay() has returned.
enum class RelayEnd : unsigned char {
    finished,  ///< each side has ended its output, and all of it was passed on
    idle,      ///< nothing came from either side, nor could be passed on, for the idle time
    a_failed,  ///< the connection `a` broke, or its peer took nothing more
    b_failed,
};

/// What relay() has done.
struct RelayResult {
    std::uint64_t a_to_b = 0;           ///< bytes that were passed on
    std::uint64_t b_to_a = 0;           ///< the same for the other direction
    RelayEnd end = RelayEnd::finished;  ///< why it returned
    std::error_code error{};            ///< of the side that failed

    friend bool operator==(const RelayResult&, const RelayResult&) = default;
};

/// One side of relay(): a connection, or the reader of one (a handler's `rfile()`), of which what
/// was read ahead is passed on first. What a BufferedWriter holds back is sent first as well.
class RelayPeer {
  public:
    /// Both directions pass through the connection itself.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the connection
    explicit(false) RelayPeer(Socket& connection) noexcept : socket_{&connection} {}
    /// What the reader has in its buffer comes first.
    // NOLINTNEXTLINE(google-explicit-constructor): the same
    explicit(false) RelayPeer(BufferedReader& reader) noexcept : reader_{&reader} {}

    /// The connection; null if it was made from a reader.
    Socket* socket() const noexcept { return socket_; }
    /// The reader; null if it was made from a connection.
    BufferedReader* reader() const noexcept { return reader_; }

  private:
    Socket* socket_ = nullptr;
    BufferedReader* reader_ = nullptr;
};

/// Passes on what comes from each of two connections to the other, until both have ended their
/// output. Where one ends its output the other one's is ended too, and the other direction goes on.
/// Both connections stay open; whoever owns them closes them. Connections may speak TLS.
///
/// Needs one thread, or suspends one fiber. Timeouts of the sockets are not looked at; if nothing
/// moves in either direction for `idle_timeout`, relay() returns. The time limits of a server
/// (`idle_timeout` and `request_timeout` of its options) count for its connection as they always
/// do.
///
/// A peer that resets its connection, or does not take what is sent to it, is no exception: the
/// result says so. Where the peer of one side takes nothing more, what it sends is still passed on.
///
/// Python has no counterpart.
///
/// @throws Cancelled if the server of the connection that is being served breaks it off.
/// @throws IdleTimeout, DeadlineExceeded by the limits of that server.
/// @throws std::system_error if a side is closed, or no descriptor can be had to wait with.
SOCKETSERVER_EXPORT RelayResult relay(RelayPeer a, RelayPeer b,
                                      std::optional<std::chrono::nanoseconds> idle_timeout = {});

}  // namespace socketserver
