// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace socketserver {

/// Why a request ended. If exceptions are nested, the innermost one decides.
enum class CloseReason : unsigned char {
    finished,       ///< the handler returned before the client ended its side
    client_closed,  ///< the client ended its side, and then the handler returned
    reset,          ///< the client broke the connection off, or was gone before its reply
    timed_out,      ///< a TimeoutError left the handler
    limit,          ///< the client sent more than allowed (LineTooLong)
    cancelled,      ///< the server broke it off, at the deadline of a drain
    error,          ///< any other exception left the handler, or its process crashed
    handshake,      ///< the client and the server could not agree on TLS (HandshakeError)
    proxy_header,   ///< the header of the PROXY protocol was missing or wrong (ProxyHeaderError)
};
inline constexpr std::size_t close_reasons = 9;

/// Why a connection was accepted and not served.
enum class RefuseCause : unsigned char {
    max_connections,              ///< ServerOptions::max_connections
    max_connections_per_address,  ///< ServerOptions::max_connections_per_address
    max_accept_rate,              ///< ServerOptions::max_accept_rate
    verify_request,               ///< verify_request() said no
    policy_full,                  ///< the policy had no room for it: ThreadPoolMixIn::when_full
    stopping,                     ///< it came too late for a drain
    untrusted_peer,               ///< ProxyProtocol::only_from_networks
};
inline constexpr std::size_t refuse_causes = 7;

/// A histogram of durations: how often something took how long, and the sum of all durations. A
/// value.
struct Histogram {
    /// The upper ends of the buckets. There is one more bucket, for longer durations.
    static constexpr std::array<std::chrono::microseconds, 12> bounds{
        std::chrono::microseconds{100}, std::chrono::milliseconds{1},
        std::chrono::milliseconds{5},   std::chrono::milliseconds{10},
        std::chrono::milliseconds{50},  std::chrono::milliseconds{100},
        std::chrono::milliseconds{500}, std::chrono::seconds{1},
        std::chrono::seconds{5},        std::chrono::seconds{10},
        std::chrono::minutes{1},        std::chrono::minutes{10}};
    /// How many durations were at most as long as the bound with the same index, and longer than
    /// the bound before it.
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    /// The sum of all durations.
    std::chrono::nanoseconds sum{};

    /// How many durations there are.
    std::uint64_t count() const {
        return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    }
    friend bool operator==(const Histogram&, const Histogram&) = default;
};

/// The counters of a server at one moment; see ServerBase::statistics(). A value.
///
/// `accepted` is always the sum of `active`, every `closed` and every `refused`. A datagram counts
/// as a connection that is accepted when it is received. A connection that has ended is counted a
/// moment before its place under `ServerOptions::max_connections` is free. When connection_closed()
/// is called, the place is free.
struct Statistics {
    std::uint64_t accepted = 0;       ///< taken from the kernel
    std::uint64_t active = 0;         ///< of these, waiting to be served or being served
    std::uint64_t accept_errors = 0;  ///< failures to accept, handle_accept_error()
    /// The bytes that clients have sent, over all connections that have ended.
    std::uint64_t bytes_in = 0;
    /// The bytes that were sent to clients, over all connections that have ended.
    std::uint64_t bytes_out = 0;

    /// The time from accepting a request to its end. Requests that were refused, and those that a
    /// worker of PreforkMixIn had when it died, are left out.
    Histogram duration{};
    /// The time from accepting a request until the policy begins to serve it.
    Histogram waited{};

    /// These three count for datagram servers. The first counts datagrams that were longer than
    /// `ServerOptions::max_packet_size` and were cut. The second counts datagrams that the kernel
    /// dropped because they came faster than they were received; the kernel tells this number with
    /// a later datagram. The third counts datagrams that could not be sent through the server's
    /// socket.
    std::uint64_t datagrams_truncated = 0;
    std::uint64_t datagrams_dropped = 0;  ///< see above
    std::uint64_t replies_failed = 0;     ///< see above
    /// Not sent because of `ServerOptions::max_amplification` or `max_reply_rate`.
    std::uint64_t replies_withheld = 0;

    /// How many threads, children and fibers the policy has in this process; 0 if it has none of
    /// the kind.
    std::size_t threads = 0;
    std::size_t children = 0;  ///< of ForkingMixIn, or the workers of PreforkMixIn
    /// Of FiberMixIn.
    std::size_t fibers = 0;
    std::size_t queued = 0;  ///< requests that wait in the policy's own queue

    /// The connections that have ended, by CloseReason.
    std::array<std::uint64_t, close_reasons> closed_by{};
    /// The connections that were refused, by RefuseCause.
    std::array<std::uint64_t, refuse_causes> refused_by{};

    /// How many have ended for this reason.
    std::uint64_t closed(CloseReason reason) const {
        return closed_by[static_cast<std::size_t>(reason)];
    }
    /// How many were refused for this cause.
    std::uint64_t refused(RefuseCause cause) const {
        return refused_by[static_cast<std::size_t>(cause)];
    }
    /// How many have ended, for whatever reason.
    std::uint64_t closed() const { return sum(closed_by); }
    /// How many were refused, for whatever cause.
    std::uint64_t refused() const { return sum(refused_by); }
    /// The requests that ended well.
    std::uint64_t served() const {
        return closed(CloseReason::finished) + closed(CloseReason::client_closed);
    }
    /// The requests that did not end well.
    std::uint64_t failed() const { return closed() - served(); }

  private:
    static std::uint64_t sum(const auto& counts) {
        return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    }
};

}  // namespace socketserver
