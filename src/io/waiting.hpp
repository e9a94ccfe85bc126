// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/channel.hpp"

// What the operations of Socket share that try first and wait when the kernel says EAGAIN.
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

/// After EAGAIN: waits, unless the socket is not to wait. -1 with errno if the operation ends here.
int wait_again(Channel& channel, Direction direction, TimePoint until);
/// The same for another Unix socket's full queue, which poll(2) does not tell about.
int wait_for_full_queue(const Channel& channel, TimePoint until);

}  // namespace socketserver::detail
