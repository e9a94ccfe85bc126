// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

#include "io/arrival.hpp"
#include "io/sockaddr.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// Holds the replies to the datagrams of a batch, to send them with one system call
/// (ServerOptions::max_reply_delay). Current::replies is the collector of the calling thread.
///
/// Nothing is held back while the thread waits, because what waits flushes first.
///
/// Thread safety: for the thread of the loop alone.
class ReplyCollector {
  public:
    /// @param waiting how many datagrams of the batch no handler has yet; not owned.
    ReplyCollector(std::shared_ptr<Socket> socket, std::chrono::nanoseconds most_delay,
                   const std::atomic<std::size_t>& waiting);
    ReplyCollector(const ReplyCollector&) = delete;
    ReplyCollector& operator=(const ReplyCollector&) = delete;
    /// Flushes.
    ~ReplyCollector();

    /// Takes a message that is to be sent through `socket`. Returns false if the caller shall send
    /// it: nothing is held back then.
    bool take(const Socket& socket, std::string_view data, const SockAddr& to,
              const Arrival* arrival) noexcept;
    /// Sends what is held back. A message that cannot be sent is counted (replies_failed).
    void flush() noexcept;
    /// To be called before the next datagram is handed out: flushes if the batch is used up, or if
    /// something was held back for longer than it may be.
    void look_after() noexcept;

  private:
    struct Messages;

    const std::shared_ptr<Socket> socket_;
    const std::chrono::nanoseconds most_delay_;
    const std::atomic<std::size_t>& waiting_;
    const pid_t process_;
    const std::unique_ptr<Messages> messages_;
    std::size_t count_ = 0;
    TimePoint first_at_;
};

}  // namespace socketserver::detail
