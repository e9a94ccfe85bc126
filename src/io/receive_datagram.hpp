// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/arrival.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

struct ReceivedDatagram {
    std::string data;  ///< as large as what came
    bool truncated;
    Address from;  ///< empty: of a Unix sender without a name
    Arrival arrival{};
    std::uint32_t dropped = 0;  ///< by the kernel, so far; 0 also if it has not told

    /// Counts this datagram if it was cut, and the ones that the kernel has dropped before it, for
    /// a server's socket.
    void count(const Channel& channel) const noexcept;
};

/// Takes a datagram, of which at most `size` bytes are kept. Does not wait. If it returns nothing,
/// errno says why; it is EAGAIN if there is no datagram.
///
/// `is_told` says whether to read the control data that the kernel delivers with each datagram. It
/// must be false for Unix sockets, because their senders could then pass descriptors to this
/// process until it has no more.
std::optional<ReceivedDatagram> receive_datagram(int descriptor, std::size_t size,
                                                 bool is_told = false);

}  // namespace socketserver::detail
