// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "socketserver/address.hpp"

namespace socketserver {

/// What a server knows of a request that it has accepted and that has not ended, at one moment; see
/// ServerBase::connections().
struct ConnectionInfo {
    /// What client_address() of the handler returns.
    Address client_address{};
    std::chrono::steady_clock::time_point opened{};  ///< when it was accepted
    /// Whether the server waits for the client to begin its next request, or its first one.
    bool is_idle = false;
    /// How many bytes the client has sent so far.
    std::uint64_t bytes_in = 0;
    /// How many bytes the server has sent to it so far.
    std::uint64_t bytes_out = 0;
};

}  // namespace socketserver
