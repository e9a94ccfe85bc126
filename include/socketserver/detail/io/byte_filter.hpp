// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <string_view>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

struct Channel;
enum class Direction : unsigned char;

/// Stands between a Socket and its descriptor: all bytes that the program receives and sends pass
/// through it. TLS is such a filter. A Socket without a filter only tests a pointer for each
/// operation.
///
/// A filter receives from the descriptor and sends to it by detail::recv() and detail::send()
/// (blocking_io.hpp) with MSG_DONTWAIT, on the channel that each function gets. No function waits,
/// except recv() if it is told that it may. The Socket does the waiting, with its timeout, by its
/// carrier.
///
/// Ownership: it belongs to the Channel, moves with it from Socket to Socket, and is destroyed with
/// the Socket. Install it by `socket.channel().filter = ...` before anything has been received that
/// has to pass through the filter: in BaseServer::prepare_request(), for example.
///
/// Thread safety: that of Socket. recv() and send() may be called from two threads at the same
/// time.
class SOCKETSERVER_EXPORT ByteFilter {
  public:
    ByteFilter() = default;
    ByteFilter(const ByteFilter&) = delete;
    ByteFilter& operator=(const ByteFilter&) = delete;
    virtual ~ByteFilter();

    /// As recv(2) without waiting: returns at most `size` bytes for the program, 0 at the end of
    /// the stream, or -1 with errno, which is EAGAIN if more input is needed first. If `may_wait`
    /// is true, the first receive from the descriptor may wait (no MSG_DONTWAIT): on a thread of
    /// the kernel this saves two of three system calls.
    virtual std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size, bool may_wait) = 0;
    /// As send(2) without waiting: returns how many bytes of `data` have gone to the kernel, or -1
    /// with errno. After EAGAIN the next call has the same bytes, of which a part may be on its way
    /// already in another form. The only exception is an operation that failed meanwhile because
    /// its time is over. If a filter cannot send other bytes after that, its send() fails.
    virtual std::ptrdiff_t send(Channel& channel, std::string_view data) = 0;
    /// Whether recv() would return bytes, or the end of the stream, that were taken from the
    /// descriptor already, so that the kernel does not report them.
    virtual bool has_pending() const noexcept = 0;
    /// Whether recv() would return bytes, the end of the stream or an error. To find out, it
    /// receives from the descriptor what is there. Called in the same threads as recv().
    virtual bool look(Channel& channel);
    /// Called before the output of the connection is ended: tells the peer so in the filter's own
    /// way, as far as this is possible without waiting.
    virtual void shutdown(Channel& channel) noexcept = 0;

    /// The direction for which recv(), or send(), has to wait after EAGAIN. It is not the obvious
    /// one in the middle of a handshake, for example.
    virtual Direction recv_waits_for() const noexcept;
    virtual Direction send_waits_for() const noexcept;

    /// Called with the errno of an operation that failed, `protocol_error` for example: throws the
    /// exception that the filter has for this error. Returns if it has none.
    virtual void throw_error(int error, std::string_view operation);
    /// A pointer that identifies the class of the filter, also in a program without RTTI.
    virtual const void* kind() const noexcept;

    /// The errno of an operation that failed in the filter rather than in the kernel.
    static constexpr int protocol_error = EPROTO;
    /// The same, if the connection ended before the peer announced the end in the filter's
    /// protocol.
    static constexpr int cut_off = ENODATA;
};

/// recv() and send() of blocking_io.hpp for a channel with a filter. They have the same flags,
/// results and timeouts, and wait by the same carrier.
///
/// @pre `channel.filter` is not null.
std::ptrdiff_t filtered_recv(Channel& channel, char* data, std::size_t size, int flags);
std::ptrdiff_t filtered_send(Channel& channel, std::string_view data, int flags);

}  // namespace socketserver::detail
