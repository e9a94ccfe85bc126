// SPDX-License-Identifier: MIT
#include "io/receive_datagram.hpp"

#include <sys/socket.h>

#include <array>
#include <cstddef>

#include "io/arrival.hpp"
#include "io/buffer_pool.hpp"
#include "io/datagram_counters.hpp"
#include "io/reply_guard.hpp"
#include "io/sockaddr.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

std::optional<ReceivedDatagram> receive_datagram(int descriptor, std::size_t size, bool is_told) {
    const PooledBuffer buffer{size};
    SockAddr peer;
    iovec part{buffer.data(), size};
    msghdr message{};
    message.msg_name = peer.get();
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    // Not initialised: the kernel writes into it only what the socket has asked for.
    alignas(cmsghdr) std::array<std::byte, arrival_size> control;  // NOLINT
    const ssize_t received = sys::retry_on_eintr([&] {
        message.msg_namelen = sizeof peer.storage;
        if (is_told) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
        }
        return sys::calls.recvmsg(descriptor, &message, MSG_DONTWAIT);
    });
    if (received == -1) return {};
    peer.size = message.msg_namelen;
    ReceivedDatagram datagram{std::string(buffer.data(), static_cast<std::size_t>(received)),
                              (message.msg_flags & MSG_TRUNC) != 0,
                              peer.size == 0 ? Address{} : from_sockaddr(peer)};
    datagram.arrival = arrival_of(message, datagram.dropped);
    return datagram;
}

void ReceivedDatagram::count(const Channel& channel) const noexcept {
    if (channel.datagrams == nullptr) return;
    if (truncated) ++channel.datagrams->truncated;
    if (dropped != 0) channel.datagrams->note_dropped(dropped);
    ReplyGuard* const guard = channel.datagrams->guard;
    if (guard != nullptr) guard->note_received(from, data.size(), Clock::now());
}

}  // namespace socketserver::detail
