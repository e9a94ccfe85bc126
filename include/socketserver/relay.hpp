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
    idle,      ///< for the idle time nothing came from either side, and nothing could be passed on
    a_failed,  ///< the connection `a` broke, or its peer receives nothing more
    b_failed,
};

/// What relay() has done.
struct RelayResult {
    std::uint64_t a_to_b = 0;           ///< bytes that were passed on
    std::uint64_t b_to_a = 0;           ///< the same for the other direction
    RelayEnd end = RelayEnd::finished;  ///< why it returned
    std::error_code error{};            ///< the error of the side that failed

    friend bool operator==(const RelayResult&, const RelayResult&) = default;
};

/// One side of relay(): a connection, or the reader of a connection (a handler's `rfile()`). The
/// bytes that a reader has in its buffer are passed on first. Output that a BufferedWriter of the
/// connection holds back is sent first as well.
///
/// Thread safety: it is a pair of pointers; whoever uses it uses the connection.
class RelayPeer {
  public:
    /// Both directions pass through the connection itself.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the connection
    explicit(false) RelayPeer(Socket& connection) noexcept : socket_{&connection} {}
    /// The bytes in the buffer of the reader are passed on first.
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

/// Copies all data from each of two connections to the other, until both peers have ended their
/// output. When one peer ends its output, relay() ends the output to the other peer, and the other
/// direction goes on. Both connections stay open; their owner closes them. Connections may speak
/// TLS.
///
/// It runs in the calling thread or fiber, for both directions. It ignores the timeouts of the
/// sockets, and returns if no data moves in either direction for `idle_timeout`. The time limits of
/// a server (`idle_timeout` and `request_timeout` of its options) apply to its connection as usual.
///
/// If a peer resets its connection, or does not receive what is sent to it, no exception is thrown:
/// the result says so. If one peer receives nothing more, the data that it sends is still passed
/// on.
///
/// Python has no counterpart.
///
/// @throws Cancelled if the server of the connection that is being served breaks it off.
/// @throws IdleTimeout, DeadlineExceeded by the limits of that server.
/// @throws std::system_error if a side is closed, or no descriptor for waiting can be made.
SOCKETSERVER_EXPORT RelayResult relay(RelayPeer a, RelayPeer b,
                                      std::optional<std::chrono::nanoseconds> idle_timeout = {});

}  // namespace socketserver
