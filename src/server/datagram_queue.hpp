// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// Receives the datagrams of a server, and hands them out one by one, in the order in which the
/// kernel had them. While many wait in the kernel, one system call receives several. Those that
/// were not handed out yet stay here, as they would stay in the queue of the kernel: the next loop
/// serves them, a drain serves all of them, and a server that is closed drops them.
///
/// Thread safety: all members may be called from any thread.
class DatagramQueue {
  public:
    /// How many datagrams one system call receives.
    static constexpr std::size_t most = 16;

    DatagramQueue();
    DatagramQueue(const DatagramQueue&) = delete;
    DatagramQueue& operator=(const DatagramQueue&) = delete;
    ~DatagramQueue();

    /// Takes the next datagram, as receive_request() does.
    ///
    /// @throws std::system_error as recvmsg(2) failed.
    std::optional<std::pair<Datagram, Address>> take(const std::shared_ptr<Socket>& socket,
                                                     std::size_t max_packet_size, bool is_told);
    /// The same for one that the kernel has.
    static std::optional<std::pair<Datagram, Address>> take_one(
        const std::shared_ptr<Socket>& socket, std::size_t max_packet_size, bool is_told);
    /// Whether a datagram waits here. The socket need not be readable then.
    bool has_waiting() const noexcept { return waiting_.load(std::memory_order_relaxed) != 0; }
    /// How many of them, for the thread that takes them.
    const std::atomic<std::size_t>& waiting() const noexcept { return waiting_; }
    /// Whether several datagrams may be received at once: not if another loop, or another process,
    /// may be idle while those that were received here wait for the loop that has received them.
    void allow_batches(bool allowed) noexcept {
        is_allowed_.store(allowed, std::memory_order_relaxed);
    }
    bool allows_batches() const noexcept { return is_allowed_.load(std::memory_order_relaxed); }
    /// In a process that was forked: what waits here is its parent's.
    void leave_to_parent() noexcept;

  private:
    struct Batch;

    bool receive_batch(const Socket& socket, std::size_t max_packet_size, bool is_told);
    std::pair<Datagram, Address> take_from_batch(const std::shared_ptr<Socket>& socket);

    std::atomic_flag is_busy_{};  ///< a thread takes a datagram
    std::atomic<bool> is_allowed_{false};
    std::atomic<std::size_t> waiting_{0};
    bool are_many_ = false;    ///< the last batch had several, or one is to be tried
    std::size_t singles_ = 0;  ///< received one by one since the last batch
    std::size_t try_after_;    ///< so many
    std::unique_ptr<Batch> batch_;
};

}  // namespace socketserver::detail
