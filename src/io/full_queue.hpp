// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// Waits until a datagram fits into the queue of another Unix socket, which poll(2) does not tell
/// about: by trying again after pauses that grow.
///
/// A client of a server that does not read its replies must not hold up the others. So a reply
/// through the server's own socket has the time of its request (ServerOptions::request_timeout),
/// or a moment if there is none; a drain ends the wait, a stop leaves it no more than the moment.
/// Who was given up is not waited for again until it has been quiet for a while.
class FullQueue {
  public:
    FullQueue(const Channel& channel, const Address& to, TimePoint until);
    FullQueue(const FullQueue&) = delete;
    FullQueue& operator=(const FullQueue&) = delete;

    /// After EAGAIN. 0: it is worth trying again; -1 with errno: the operation ends here.
    int wait();
    /// What ended the wait is the time of the whole request.
    bool is_request_over() const noexcept { return is_request_over_; }

    /// How long a reply is waited for if nobody has said how long.
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

/// The request that the calling thread, or fiber, serves, if it is a datagram.
Connection* datagram_request() noexcept;
/// After a reply to `to` has failed with errno: the request remembers it, if that is the doing of
/// its client, which has gone or does not read. Keeps errno.
void note_undelivered(const Address& to) noexcept;

}  // namespace socketserver::detail
