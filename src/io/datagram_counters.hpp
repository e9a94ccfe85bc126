// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace socketserver::detail {

class ReplyGuard;

/// What befell the datagrams of a server's socket: in memory that its processes share, where the
/// counters of the server are.
struct DatagramCounters {
    using Counter = std::atomic<std::uint64_t>;

    Counter truncated{0};
    Counter dropped{0};
    Counter undelivered{0};
    Counter withheld{0};
    /// Says which replies are withheld. Null: none is. Set before there are other processes, which
    /// have it at the same address. Not owned.
    ReplyGuard* guard = nullptr;

    /// Called with the number of datagrams that the kernel has dropped so far, in 32 bits. Several
    /// processes may call this, and a smaller number may come after a larger one.
    void note_dropped(std::uint32_t so_far) noexcept {
        std::uint64_t known = dropped.load(std::memory_order_relaxed);
        std::uint32_t more = 0;
        do {
            more = so_far - static_cast<std::uint32_t>(known);
            if (more == 0 || more > UINT32_MAX / 2) return;
        } while (!dropped.compare_exchange_weak(known, known + more, std::memory_order_relaxed));
    }
};

}  // namespace socketserver::detail
