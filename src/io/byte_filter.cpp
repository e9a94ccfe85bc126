// SPDX-License-Identifier: MIT
#include "socketserver/detail/io/byte_filter.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "io/waiting.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"

namespace socketserver::detail {

namespace {

/// Repeats `attempt`, and waits for what the filter needs, until the attempt succeeds or the time
/// is over.
template <class Attempt, class WaitsFor>
std::ptrdiff_t attempt_until_done(Channel& channel, int flags, Attempt attempt,
                                  WaitsFor waits_for) {
    const bool waits = (flags & MSG_DONTWAIT) == 0;
    const TimePoint until = channel.until();
    for (;;) {
        if (waits && begin_operation() == -1) return -1;
        const std::ptrdiff_t done = attempt();
        if (done != -1 || errno != EAGAIN || !waits) return done;
        if (wait_again(channel, waits_for(), until) == -1) return -1;
    }
}

}  // namespace

ByteFilter::~ByteFilter() = default;

bool ByteFilter::look(Channel& channel) {
    if (has_pending()) return true;
    pollfd input{channel.fd, POLLIN, 0};
    return sys::retry_on_eintr([&] { return sys::calls.poll(&input, 1, 0); }) != 0;
}

Direction ByteFilter::recv_waits_for() const noexcept { return Direction::read; }

Direction ByteFilter::send_waits_for() const noexcept { return Direction::write; }

void ByteFilter::throw_error(int /*error*/, std::string_view /*operation*/) {}

const void* ByteFilter::kind() const noexcept { return nullptr; }

std::ptrdiff_t filtered_recv(Channel& channel, char* data, std::size_t size, int flags) {
    ByteFilter& filter = *channel.filter;
    bool may_wait = (flags & MSG_DONTWAIT) == 0 && current().io == nullptr;
    return attempt_until_done(
        channel, flags,
        [&] { return filter.recv(channel, data, size, std::exchange(may_wait, false)); },
        [&] { return filter.recv_waits_for(); });
}

std::ptrdiff_t filtered_send(Channel& channel, std::string_view data, int flags) {
    ByteFilter& filter = *channel.filter;
    return attempt_until_done(
        channel, flags, [&] { return filter.send(channel, data); },
        [&] { return filter.send_waits_for(); });
}

}  // namespace socketserver::detail
