// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace socketserver {

/// What becomes of the connections that wait in the kernel to be accepted when a server drains.
enum class AcceptQueue : unsigned char {
    serve,  ///< this server accepts and serves them; new ones are turned away from now on
    leave,  ///< another process has the socket as well (handover.hpp, or a service manager) and
            ///< accepts them
};

/// What became of the connections of a server that was drained, see ServerBase::drain().
struct DrainReport {
    std::uint64_t finished = 0;  ///< ended by themselves
    /// Closed while the server waited for the client's next request, if no request of that client
    /// was served since the drain began.
    std::uint64_t idle_closed = 0;
    std::uint64_t cancelled = 0;  ///< broken off when the time was over
    std::uint64_t refused = 0;    ///< accepted and closed unserved
    /// Broken off, but still running when drain() returned, because the handler computes or waits
    /// for something other than its connection. The destructor of the server waits for it.
    std::uint64_t remaining = 0;
};

}  // namespace socketserver
