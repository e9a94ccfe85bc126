// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// Waits until a datagram fits into the queue of another Unix socket. poll(2) does not report that,
/// so the caller tries again after pauses, which grow.
///
/// A client that does not read its replies must not delay the other clients of the server. So a
/// reply through the server's own socket waits as long as its request may take
/// (ServerOptions::request_timeout), or for `moment` if there is no such limit. A drain ends the
/// wait at once, a stop after `moment`. A client for which the wait ended in vain is not waited for
/// again until it has been quiet for a second.
class FullQueue {
  public:
    FullQueue(const Channel& channel, const Address& to, TimePoint until);
    FullQueue(const FullQueue&) = delete;
    FullQueue& operator=(const FullQueue&) = delete;

    /// Called after EAGAIN. Returns 0 if the caller should try again, or -1 with errno if the
    /// operation is over.
    int wait();
    /// Whether the wait was ended by the time limit of the whole request.
    bool is_request_over() const noexcept { return is_request_over_; }

    /// How long a reply waits if neither the socket nor the request has a time limit.
    static constexpr std::chrono::milliseconds moment{100};

  private:
    bool is_to_end() const;

    const Channel& channel_;
    const Address& to_;
    const TimePoint begin_ = Clock::now();
    TimePoint until_;
    Connection* request_ = nullptr;  // null: no reply of a server
    std::chrono::milliseconds pause_{1};
    bool is_of_request_ = false;
    bool is_request_over_ = false;
};

/// Called when a reply to `to` has failed with errno. If that is the client's doing, because it has
/// gone or does not read, the request remembers it. errno is not changed.
void note_undelivered(const Address& to) noexcept;

}  // namespace socketserver::detail
