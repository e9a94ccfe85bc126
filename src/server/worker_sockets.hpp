// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "socketserver/socket.hpp"

namespace socketserver::detail {

/// The sockets that a server has beside its first one, if it has one for each worker process
/// (ServerOptions::socket_per_worker). A process that serves for all of them, as the parent does
/// at the end of a drain, waits for one descriptor and takes from each socket in turn.
///
/// Thread safety: add(), close() and the destructor are called by one thread at a time, close()
/// only when no other thread uses the object. The rest may be called from any thread.
class WorkerSockets {
  public:
    /// How many there may be.
    static constexpr std::size_t most = 1023;

    WorkerSockets() = default;
    WorkerSockets(const WorkerSockets&) = delete;
    WorkerSockets& operator=(const WorkerSockets&) = delete;
    ~WorkerSockets() { close(); }

    std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
    const std::shared_ptr<Socket>& operator[](std::size_t index) const noexcept {
        return sockets_[index];
    }
    /// Adds one to those of the server whose first socket is `first`.
    ///
    /// @throws std::system_error, std::bad_alloc; nothing has changed then.
    void add(const Socket& first, std::shared_ptr<Socket> socket);
    /// Readable while `first` or one of these has a datagram. -1 if there are none.
    int fileno() const noexcept { return epoll_; }
    /// With which socket the next request is looked for: 0 is the first one. No socket comes before
    /// the others, so that a busy one does not keep the rest from being served.
    std::size_t turn() const noexcept { return turn_.load(std::memory_order_relaxed); }
    void set_turn(std::size_t turn) noexcept { turn_.store(turn, std::memory_order_relaxed); }
    /// Lets go of them.
    void close() noexcept;

  private:
    void watch(int descriptor);

    std::unique_ptr<std::shared_ptr<Socket>[]> sockets_;  // NOLINT(modernize-avoid-c-arrays)
    std::atomic<std::size_t> size_{0};
    std::atomic<std::size_t> turn_{0};
    int epoll_ = -1;
};

/// Makes a socket that is bound to the same address as `first`, which allows that (SO_REUSEPORT).
/// What the program has set for `first` is set for it, too, except memberships of groups. It
/// receives no datagrams to groups, which every member would get.
///
/// @param made a socket that is not bound yet.
/// @throws std::system_error.
void bind_beside(Socket& made, const Socket& first);

}  // namespace socketserver::detail
