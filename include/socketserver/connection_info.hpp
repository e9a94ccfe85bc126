// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "socketserver/address.hpp"

namespace socketserver {

/// What a server knows of a request that it has accepted and that has not ended, at one moment; see
/// ServerBase::connections().
struct ConnectionInfo {
    /// As client_address() says it.
    Address client_address{};
    std::chrono::steady_clock::time_point opened{};  ///< when it was accepted
    /// The client owes the next request, or the first one.
    bool is_idle = false;
    /// What the client has sent so far.
    std::uint64_t bytes_in = 0;
    /// What it was sent so far.
    std::uint64_t bytes_out = 0;
};

}  // namespace socketserver
