// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/request/place.hpp"
#include "socketserver/proxy_protocol.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver::detail {

class RequestTable;
class ServerPin;

/// One request of a server, from accepting it until it has ended.
///
/// Thread safety: the thread that serves the request owns it. Other threads look at the atomic
/// members, and at the list under the lock of the RequestTable.
class Connection {
  public:
    /// Whether the server waits for the client to begin a request. A request begins with its first
    /// byte, or with the first byte that the server sends unasked. It is over when the server has
    /// sent something and waits again, with no input left to read.
    enum class Phase : unsigned char {
        fresh,  ///< nothing has come yet
        idle,   ///< waits for the next request
        busy,
    };

    /// @param server the table, which the server and its requests share.
    Connection(std::shared_ptr<RequestTable> server, Address&& client, int descriptor,
               const Place& taken) noexcept;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    // These members, which each request needs, are together on one or two cache lines.
    std::shared_ptr<RequestTable> table;
    std::atomic<std::uint32_t> handles{1};  ///< the ConnectionHandles
    Relaxed<std::uint64_t> bytes_in = 0;    ///< written by the thread that receives
    Relaxed<std::uint64_t> bytes_out = 0;   ///< written by the thread that sends
    bool is_waited_for = false;             ///< the wait for its first request has begun
    bool done_in_drain = false;             ///< a request was finished since a drain began
    /// Two threads use these two members: one may receive while another sends.
    std::atomic<Phase> phase{Phase::fresh};
    std::atomic<bool> answered{false};  ///< something was sent since something was received
    std::atomic<bool> cancelled{false};

    std::atomic<bool> idle_ended{false};  ///< was ended by a drain, with no request begun
    CloseReason reason = CloseReason::finished;
    bool has_final_reason = false;  ///< connection_closed() was called with it
    bool is_refused = false;        ///< was counted when it was refused
    bool is_reset = false;          ///< its close is to be a reset
    bool is_announced = false;      ///< connection_opened() was called for it
    bool is_handled = false;  ///< has reached its handler, which keeps the socket if it moves it
    bool client_ended = false;
    bool may_outlive_server = false;  ///< the thread that serves it needs a ServerPin
    bool expects_proxy_header = false;
    int undelivered = 0;       ///< errno of a reply that failed because of the datagram's client
    int outcome = -1;          ///< where a child leaves its reason, see ChildOutcomes
    ServerPin* pin = nullptr;  ///< for its handler, if it may outlive its server
    std::unique_ptr<const ProxyHeader> proxy_header;
    Address client_address;  ///< changed by RequestTable::introduce(), under the lock
    Place place;             ///< under the limits
    TimePoint opened = Clock::now();
    std::atomic<int> fd;         ///< under the lock; -1: not to be broken off
    Connection* next = nullptr;  ///< in the list
    Connection* previous = nullptr;
};

}  // namespace socketserver::detail
