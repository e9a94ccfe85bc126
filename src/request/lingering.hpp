// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

/// Connections that the server has answered before it has read all that their clients send. If it
/// closed such a connection, the kernel would reset it, and the client would lose the answer. So
/// the server ends its side, and discards what comes until the client has ended its side. The time
/// and the bytes of each connection are limited, and so is the number of connections.
///
/// No thread waits for them: the serving loop handles them in its turns. When the loop ends,
/// because the server is stopped or drained, they are closed.
///
/// Thread safety: take() may be called from any thread, the other members from threads of the
/// serving loop.
class SOCKETSERVER_EXPORT Lingering {
  public:
    static constexpr std::size_t most = 64;
    static constexpr std::chrono::seconds longest{2};
    static constexpr std::size_t most_bytes = std::size_t{8} * 1024 * 1024;

    Lingering() = default;
    Lingering(const Lingering&) = delete;
    Lingering& operator=(const Lingering&) = delete;
    ~Lingering();

    /// Takes ownership of the descriptor. If there are too many, the oldest one is closed.
    void take(int fd) noexcept;
    /// A descriptor that becomes readable when there is something to do; -1 until the first
    /// connection is taken.
    int fileno() const noexcept { return epoll_.load(); }
    bool is_empty() const noexcept { return count_.load(std::memory_order_relaxed) == 0; }
    /// When look_after() is to be called even if nothing became readable.
    TimePoint next_end() const noexcept;
    /// Reads and discards what has come, without waiting.
    void look_after() noexcept;
    /// Closes all of them.
    void end() noexcept;
    /// Called in a forked child: forgets the connections, which belong to the parent. Takes no
    /// lock.
    void disown() noexcept;

    /// For a child that has nothing else to do: handles one connection in the same way, and waits
    /// for its client.
    static void linger_here(int fd) noexcept;

  private:
    struct Entry {
        std::atomic<int> fd{-1};
        TimePoint until = never;
        std::size_t left = 0;
    };
    void close(Entry& entry) noexcept;

    mutable std::mutex mutex_;
    std::array<Entry, most> entries_{};
    std::atomic<int> epoll_{-1};
    std::atomic<std::size_t> count_{0};
};

}  // namespace socketserver::detail
