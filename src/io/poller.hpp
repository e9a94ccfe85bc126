// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <poll.h>

#include "io/break_off_watch.hpp"
#include "io/channel_wait.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// Waits for any of several descriptors: a thread waits in poll(2), a fiber is suspended. A
/// descriptor may be in the list twice, others may wait for it at the same time, and it may be one
/// that epoll(7) does not take, such as a file.
///
/// A fiber waits for a connection by the registration that its receives and sends use, so that a
/// wait usually makes no system call (BlockingIo::wait_any()). It waits for other descriptors by an
/// epoll set of this object, which contains them. The set of its scheduler cannot be used for them,
/// because it takes each descriptor once, and may have it already.
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
    /// The connections whose descriptors the entries are, at the same places; null where the entry
    /// is only a descriptor, as all entries beyond the end are. The caller must be one who may
    /// receive from the connection, and if the entry is for output, or for a hang-up alone, may
    /// send to it.
    std::vector<Channel*> channels;

    /// As poll(2): how many are ready, 0 when the time is over, -1 with errno, which is ECANCELED
    /// when the server ends the request.
    int wait(TimePoint until);

  private:
    int look();
    int wait_on_thread(TimePoint until);
    int wait_on_carrier(TimePoint until);
    bool has_channel(std::size_t place) const;
    void add_waits(std::size_t place);
    bool update_set();
    int take_ready();
    bool control(int operation, const pollfd& entry) const;

    Connection* request_;
    std::optional<BreakOffWatch> break_off_;  // from the first wait on
    Channel set_;                             // the epoll set, on a carrier
    std::vector<pollfd> watched_;             // what is in it: `events` of `fd`
    std::vector<pollfd> wanted_;              // what is to be in it
    // Those of one wait, on a carrier: for each entry that has a channel, and then for the set.
    std::vector<ChannelWait> waits_;
    std::vector<std::size_t> places_;  // of their entries
};

}  // namespace socketserver::detail
