// SPDX-License-Identifier: MIT
#include "io/waiting.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace socketserver::detail {

NonBlocking::NonBlocking(int descriptor) : descriptor_{descriptor} {
    // These two calls fail only if the descriptor is invalid, which the operation will then report.
    const int flags = ::fcntl(descriptor, F_GETFL);
    was_already_ = flags == -1 || (flags & O_NONBLOCK) != 0;
    if (!was_already_) set(1);
}

NonBlocking::~NonBlocking() {
    if (was_already_) return;
    const int saved = errno;
    set(0);
    errno = saved;
}

void NonBlocking::set(int on) const { ::ioctl(descriptor_, FIONBIO, &on); }

int wait_again(Channel& channel, Direction direction, TimePoint until) {
    return channel.timeout.count() == 0 ? -1 : wait(channel, direction, until);
}

int wait_for_full_queue(const Channel& channel, TimePoint until) {
    if (channel.timeout.count() == 0) return -1;
    if (Clock::now() >= until) {
        errno = ETIMEDOUT;
        return -1;
    }
    sleep_until(std::min(until, Clock::now() + std::chrono::milliseconds{1}));
    return 0;
}

}  // namespace socketserver::detail
