// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace socketserver {

/// Why a request ended. If an exception is nested in another one, the innermost decides.
enum class CloseReason : unsigned char {
    finished,       ///< the handler was done, before the client ended its side
    client_closed,  ///< the client ended its side, and the handler was done
    reset,          ///< the client broke the connection off, or was gone before its reply
    timed_out,      ///< a TimeoutError left the handler
    limit,          ///< the client sent more than allowed (LineTooLong)
    cancelled,      ///< the server broke it off, at the deadline of a drain
    error,          ///< any other exception left the handler, or its process crashed
    handshake,      ///< the client and the server could not agree on TLS (HandshakeError)
    proxy_header,   ///< it had to begin with a header of the PROXY protocol (ProxyHeaderError)
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

/// How long something took, each time: how often it took how long, and all of it together.
struct Histogram {
    /// The upper ends of the buckets; there is one more, for what took longer.
    static constexpr std::array<std::chrono::microseconds, 12> bounds{
        std::chrono::microseconds{100}, std::chrono::milliseconds{1},
        std::chrono::milliseconds{5},   std::chrono::milliseconds{10},
        std::chrono::milliseconds{50},  std::chrono::milliseconds{100},
        std::chrono::milliseconds{500}, std::chrono::seconds{1},
        std::chrono::seconds{5},        std::chrono::seconds{10},
        std::chrono::minutes{1},        std::chrono::minutes{10}};
    /// How often it took at most as long as the bound of the same place, and longer than the one
    /// before.
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    /// All of it together.
    std::chrono::nanoseconds sum{};

    /// How often it took place.
    std::uint64_t count() const {
        return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    }
    friend bool operator==(const Histogram&, const Histogram&) = default;
};

/// What a server has done so far, at one moment; see ServerBase::statistics().
///
/// `accepted` is always the sum of `active`, every `closed` and every `refused`. A datagram counts
/// as a connection that is accepted when it is received. A connection that has ended is counted a
/// moment before its place under `ServerOptions::max_connections` is free; when
/// connection_closed() is called, it is.
struct Statistics {
    std::uint64_t accepted = 0;       ///< taken from the kernel
    std::uint64_t active = 0;         ///< of these, waiting to be served or being served
    std::uint64_t accept_errors = 0;  ///< failures to accept, handle_accept_error()
    /// What the clients of the connections that have ended sent, and were sent.
    std::uint64_t bytes_in = 0;
    /// The same.
    std::uint64_t bytes_out = 0;

    /// From accepting a request to its end; without those that were refused, and those that a
    /// worker of PreforkMixIn had when it died.
    Histogram duration{};
    /// From accepting a request until the policy had a place for it, where it begins to be served.
    Histogram waited{};

    /// Of a datagram server, beside what was `accepted`: datagrams that were longer than
    /// `ServerOptions::max_packet_size` and were cut; those that the kernel dropped, because they
    /// came faster than they were received, as it told with one that came later; and what could not
    /// be sent through the server's socket.
    std::uint64_t datagrams_truncated = 0;
    std::uint64_t datagrams_dropped = 0;  ///< see above
    std::uint64_t replies_failed = 0;     ///< see above

    /// What the policy runs with in this process; 0 where it has none of the kind.
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
    /// The requests that ended well, and those that did not.
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
