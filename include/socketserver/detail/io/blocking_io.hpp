// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"

struct pollfd;

namespace socketserver {
class Datagram;
class Socket;
}  // namespace socketserver

// The blocking-I/O seam. Socket asks "receive", "send", "wait until readable" of whatever carries
// the current request. On a thread, or in a process, that is the kernel: the free functions below
// make one blocking system call for one operation. In a fiber it is the scheduler of the thread,
// which suspends the fiber. Socket, the readers, the writers and the handlers do not know which.
namespace socketserver::detail {

struct ChannelWait;
class ReplyCollector;
class ServerMark;

/// What carries requests if it is not a thread or process of the kernel: a scheduler of fibers. Its
/// functions return what the system calls of the same names return: -1 and errno, with ETIMEDOUT
/// when the channel's time is over and ECANCELED when the server ends the request.
class SOCKETSERVER_EXPORT BlockingIo {
  public:
    BlockingIo() = default;
    BlockingIo(const BlockingIo&) = delete;
    BlockingIo& operator=(const BlockingIo&) = delete;
    virtual ~BlockingIo();

    /// As recv(2) and send(2). With MSG_DONTWAIT never suspends.
    virtual std::ptrdiff_t recv(Channel& channel, void* data, std::size_t size, int flags) = 0;
    virtual std::ptrdiff_t send(Channel& channel, const void* data, std::size_t size,
                                int flags) = 0;
    /// Called before a receive with MSG_DONTWAIT for which the caller holds no buffer yet. May let
    /// others run first. Returns false if it is known that there is no input; waiting before the
    /// attempt is cheaper then.
    virtual bool may_receive(Channel& channel) = 0;
    /// Called before an operation that the caller makes by a system call of its own. May let others
    /// run first. Returns 0, or -1 with errno.
    virtual int begin_operation() = 0;
    /// Called after an operation that would have blocked: suspends until an operation in this
    /// direction may succeed, at most until `until`. Returns 0, or -1 with errno.
    virtual int wait(Channel& channel, Direction direction, TimePoint until) = 0;
    /// Suspends until any of the waits has ended, at most until `until`. Others may wait for the
    /// same channels at the same time, in the same carrier. Returns how many are ready, 0 when the
    /// time is over, or -1 with errno, which is EBADF if a channel is closed meanwhile.
    virtual int wait_any(std::span<ChannelWait> waits, TimePoint until) = 0;
    /// As poll(2) until a point in time: the number of ready entries, 0 when the time is over.
    virtual int poll(pollfd* fds, std::size_t count, TimePoint until) = 0;
    /// Runs `work` in a thread that may block, and suspends the caller until it has ended.
    virtual void run_blocking(const std::function<void()>& work) = 0;
    virtual void sleep_until(TimePoint until) = 0;
    virtual void yield() = 0;
    /// Gives the memory of the stack that the caller does not use to the system.
    virtual void release_stack() noexcept = 0;
    /// Calls `work`, which never suspends, on a stack that is there once for each thread.
    virtual void call_on_shared_stack(void (*work)(void* argument) noexcept, void* argument) = 0;
};

/// What the calling thread runs at the moment. A fiber scheduler keeps `request` with each fiber.
struct Current {
    BlockingIo* io = nullptr;             ///< null: an ordinary thread
    const ServerMark* serving = nullptr;  ///< the servers whose loop this thread runs
    const ServerMark* request = nullptr;  ///< the servers whose request is being served here
    /// Of the loop that this thread runs; null: replies are sent at once. Not owned.
    ReplyCollector* replies = nullptr;
};
SOCKETSERVER_EXPORT extern constinit thread_local Current current_of_this_thread;
inline Current& current() noexcept { return current_of_this_thread; }

/// The seam as Socket uses it: the carrier's function if there is a carrier, else the system call.
SOCKETSERVER_EXPORT std::ptrdiff_t recv(Channel& channel, void* data, std::size_t size, int flags);
SOCKETSERVER_EXPORT std::ptrdiff_t send(Channel& channel, const void* data, std::size_t size,
                                        int flags);
SOCKETSERVER_EXPORT int wait(Channel& channel, Direction direction, TimePoint until);
/// To be called before an operation that the caller makes by a system call of its own.
inline int begin_operation() {
    BlockingIo* io = current().io;
    return io == nullptr ? 0 : io->begin_operation();
}
SOCKETSERVER_EXPORT int poll(pollfd* fds, std::size_t count, TimePoint until);
/// Frees what carriers keep for the channel. The descriptor stays open. close() calls it as well.
SOCKETSERVER_EXPORT void forget(Channel& channel) noexcept;
SOCKETSERVER_EXPORT void close(Channel& channel) noexcept;
SOCKETSERVER_EXPORT void sleep_until(TimePoint until);
SOCKETSERVER_EXPORT void yield();
/// To be called after something that needs a deep stack, and happens once for each connection. With
/// a stack for each of many connections, what is left touched by it would stay resident in each.
inline void release_stack() noexcept {
    if (BlockingIo* io = current().io) io->release_stack();
}
/// Calls `work`, which needs a deep stack, never suspends, and does not throw, on a stack that many
/// connections share.
/// @throws std::system_error or std::bad_alloc if there is no such stack.
template <class Work>
void call_on_shared_stack(Work work) {
    BlockingIo* io = current().io;
    if (io == nullptr) return work();
    io->call_on_shared_stack([](void* argument) noexcept { (*static_cast<Work*>(argument))(); },
                             &work);
}
SOCKETSERVER_EXPORT void run_blocking(const std::function<void()>& work);

/// Marks, for as long as it lives, that the calling thread runs the loop of a server, or serves a
/// request of it. Marks nest: a handler may serve a server of its own.
class SOCKETSERVER_EXPORT ServerMark {
  public:
    using Slot = const ServerMark* Current::*;

    ServerMark(const void* server, Slot slot) noexcept;
    /// With the request, which is either a connection or a datagram.
    ServerMark(const void* server, const Datagram& request) noexcept;
    ServerMark(const void* server, const Socket& request) noexcept;
    ServerMark(const ServerMark&) = delete;
    ServerMark& operator=(const ServerMark&) = delete;
    ~ServerMark();

    /// Whether the calling thread (or fiber) has such a mark for this server.
    static bool stands(const void* server, Slot slot) noexcept;
    /// The request, if it is a datagram.
    const Datagram* datagram() const noexcept { return datagram_; }
    const Socket* connection() const noexcept { return connection_; }

  private:
    const void* server_;
    Slot slot_;
    const Datagram* datagram_ = nullptr;
    const Socket* connection_ = nullptr;
    const ServerMark* outer_;
};

}  // namespace socketserver::detail
