// SPDX-License-Identifier: MIT
// What both sides of a transfer agree upon: RFC 2348, 2349 and 7440.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "packet.hpp"

namespace tftp {

/// What the server has decided for all transfers.
struct Rules {
    std::size_t most_of_block = 65464;                           ///< bytes
    std::uint64_t most_of_file = 100 << 20;                      ///< bytes that a client may write
    std::chrono::nanoseconds timeout = std::chrono::seconds{1};  ///< until a packet is sent again
    int tries = 5;                                               ///< how often a packet is sent
    bool may_write = false;
    bool may_replace = false;  ///< a file that exists, by what is written
};

struct Terms {
    std::size_t block_size = 512;
    std::size_t window = 1;  ///< blocks that are sent until an acknowledgement is waited for
    std::chrono::nanoseconds timeout{};
    Options accepted;  ///< which the client is told; empty: it has asked for none
};

/// @param size of the file that is read, if it is known how many bytes it takes as it is sent.
/// @throws Refusal if the client wants to write more than it may.
Terms agree(const Request& request, const Rules& rules, std::optional<std::uint64_t> size);

}  // namespace tftp
