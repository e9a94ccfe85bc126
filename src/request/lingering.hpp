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

/// Connections that the server has answered before it has read all that their clients send. To
/// close one makes the kernel reset it: the client, which is still sending, loses the answer. So
/// the server's side is ended, and what comes is thrown away until the client has ended its side;
/// within bounds, of time and of bytes for each, and of their number.
///
/// Nobody waits for them: they are looked after in the turns of the serving loop. The end of the
/// loop, when the server is stopped or drained, ends them.
///
/// Thread safety: take() from any thread, the rest from the threads of the serving loop.
class SOCKETSERVER_EXPORT Lingering {
  public:
    static constexpr std::size_t most = 64;
    static constexpr std::chrono::seconds longest{2};
    static constexpr std::size_t most_bytes = std::size_t{8} * 1024 * 1024;

    Lingering() = default;
    Lingering(const Lingering&) = delete;
    Lingering& operator=(const Lingering&) = delete;
    ~Lingering();

    /// Owns the descriptor from now on. If there are too many, the oldest is closed for it.
    void take(int fd) noexcept;
    /// Becomes readable when there is something to do; -1: there was nobody yet.
    int fileno() const noexcept { return epoll_.load(); }
    /// When look_after() is to be called, although nothing became readable.
    TimePoint next_end() const noexcept;
    /// Reads what has come, without waiting.
    void look_after() noexcept;
    /// Closes all of them.
    void end() noexcept;
    /// In a forked child: they are the parent's. Takes no lock.
    void disown() noexcept;

    /// In a child that has nothing else to do: the same for one connection, waiting for its client.
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
