// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/channel.hpp"

// Helpers for those operations of Socket that try first, and wait when the kernel returns EAGAIN.
namespace socketserver::detail {

/// Makes a descriptor non-blocking for one operation that knows no MSG_DONTWAIT.
class NonBlocking {
  public:
    explicit NonBlocking(int descriptor);
    NonBlocking(const NonBlocking&) = delete;
    NonBlocking& operator=(const NonBlocking&) = delete;
    ~NonBlocking();

  private:
    void set(int on) const;

    int descriptor_;
    bool was_already_ = false;
};

/// After EAGAIN: waits until the operation may succeed. Returns 0, or -1 with errno if the
/// operation is over: the socket does not wait (a timeout of zero), or the time has passed.
int wait_again(Channel& channel, Direction direction, TimePoint until);
/// The same, for the full queue of another Unix socket, which poll(2) does not report: sleeps for a
/// millisecond.
int wait_for_full_queue(const Channel& channel, TimePoint until);

}  // namespace socketserver::detail
