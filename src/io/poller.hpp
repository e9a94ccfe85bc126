// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <vector>

#include <poll.h>

#include "io/break_off_watch.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// Waits for any of several descriptors: a thread waits in poll(2), a fiber is suspended. A
/// descriptor may be in the list twice, others may wait for it at the same time, and it may be one
/// that epoll(7) does not take, such as a file.
///
/// A fiber waits for an epoll set of this object, which contains the descriptors. The set of its
/// scheduler cannot be used, because it takes each descriptor once, and may have it already.
///
/// Thread safety: none. It costs a descriptor or two from the first wait until its end.
class Poller {
  public:
    /// @param request the request that ends the wait when the server breaks it off. If it is null,
    /// no server ends the wait of a thread. It must outlive the object.
    explicit Poller(Connection* request = nullptr) noexcept : request_{request} {}
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    ~Poller();

    /// The entries for which it waits; those with an `fd` of -1 are ignored. May be changed between
    /// two waits. A descriptor that was closed must not be replaced by another one of the same
    /// number.
    std::vector<pollfd> entries;

    /// As poll(2): how many are ready, 0 when the time is over, -1 with errno, which is ECANCELED
    /// when the server ends the request.
    int wait(TimePoint until);

  private:
    int look();
    int wait_on_thread(TimePoint until);
    int wait_on_carrier(TimePoint until);
    bool update_set();
    bool control(int operation, const pollfd& entry) const;

    Connection* request_;
    std::optional<BreakOffWatch> break_off_;  // from the first wait on
    Channel set_;                             // the epoll set, on a carrier
    std::vector<pollfd> watched_;             // what is in it: `events` of `fd`
};

}  // namespace socketserver::detail
