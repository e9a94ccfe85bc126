// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "io/datagram_counters.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver::detail {

/// The counters of a server, in memory that it shares with its children, so that the parent sees
/// what a child counts. All are lock-free. They only grow, except those of the workers.
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the workers, see there
struct SharedCounters {
    using Counter = std::atomic<std::uint64_t>;
    static_assert(Counter::is_always_lock_free);

    Counter accepted{0};
    Counter accept_errors{0};
    Counter bytes_in{0};
    Counter bytes_out{0};
    Counter idle_closed{0};
    /// A Histogram of Statistics.
    struct SOCKETSERVER_EXPORT Times {
        std::array<Counter, Histogram::bounds.size() + 1> counts{};
        Counter nanoseconds{0};

        void add(std::chrono::nanoseconds time) noexcept;
        Histogram read() const noexcept;
    };
    Times duration;
    Times waited;
    std::array<Counter, close_reasons> closed{};
    std::array<Counter, refuse_causes> refused{};
    DatagramCounters datagrams{};
    /// How many sockets the server has: more than one if it has one for each worker process. The
    /// kernel counts for each what it has dropped, so each has counters of its own.
    std::atomic<std::size_t> sockets{1};
    static constexpr std::size_t most_sockets = 1024;
    /// What the processes of a server must know about its drain.
    struct Drain {
        /// Whether connections end that would wait for the next request of their client.
        std::atomic<bool> ends_idle{false};
        /// Whether connections whose client has sent nothing yet end as well.
        std::atomic<bool> ends_fresh{false};
        // The DrainOrder (src/server/lifecycle.hpp) for worker processes.
        std::atomic<TimePoint> until{never};
        std::atomic<TimePoint> handshakes_until{TimePoint{}};
        std::atomic<bool> leaves_queue{false};
        /// If so, whether a worker serves the queue of a socket that only it has nevertheless:
        /// nothing more comes there.
        std::atomic<bool> ends_own_queues{false};
    };
    Drain drain;
    /// Clients of a Unix datagram server that did not read their replies, see FullQueue.
    std::array<std::atomic<std::uint64_t>, 64> given_up{};

    /// What each worker process is serving. If the worker dies, the parent counts it.
    struct Worker {
        std::atomic<int> pid{0};
        Counter active{0};
    };
    /// Twice as many as WorkerSet has at a time, because all workers may be replaced before the
    /// first of them is counted out.
    static constexpr std::size_t most_workers = 2048;
    std::span<Worker> workers() noexcept {
        return {reinterpret_cast<Worker*>(worker_memory.data()), most_workers};
    }
    // Not initialised, because the kernel maps zeroes, and provides each page only when it is first
    // used.
    alignas(Worker) std::array<std::byte, most_workers * sizeof(Worker)> worker_memory;
    // Not initialised either, see datagrams_of().
    alignas(DatagramCounters)
        std::array<std::byte, (most_sockets - 1) * sizeof(DatagramCounters)> socket_memory;

    /// Those of the socket with this number. The first one has `datagrams`.
    DatagramCounters& datagrams_of(std::size_t number) noexcept {
        if (number == 0) return datagrams;
        return reinterpret_cast<DatagramCounters*>(socket_memory.data())[number - 1];
    }
    Counter& of(CloseReason reason) { return closed[static_cast<std::size_t>(reason)]; }
    Counter& of(RefuseCause cause) { return refused[static_cast<std::size_t>(cause)]; }
};

}  // namespace socketserver::detail
