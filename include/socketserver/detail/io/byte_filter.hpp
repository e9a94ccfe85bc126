// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <string_view>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

struct Channel;
enum class Direction : unsigned char;

/// Stands between a Socket and its descriptor: what the program receives and sends passes it. TLS
/// is one. A Socket without a filter tests a pointer for each operation, and nothing else.
///
/// A filter takes bytes from the descriptor, and gives bytes to it, by detail::recv() and
/// detail::send() (blocking_io.hpp) with MSG_DONTWAIT, on the channel that each function gets. No
/// function waits, except recv() where it may: the Socket waits, with its timeout, as its carrier
/// does.
///
/// Ownership: it belongs to the Channel, moves with it from Socket to Socket, and is destroyed with
/// the Socket. Installed by `socket.channel().filter = ...`, before anything has been received that
/// the filter should have seen: in BaseServer::prepare_request(), for example.
///
/// Thread safety: that of Socket. recv() and send() may be called from two threads at the same
/// time.
class SOCKETSERVER_EXPORT ByteFilter {
  public:
    ByteFilter() = default;
    ByteFilter(const ByteFilter&) = delete;
    ByteFilter& operator=(const ByteFilter&) = delete;
    virtual ~ByteFilter();

    /// As recv(2) that does not wait: at most `size` bytes for the program; 0 at the end; -1 with
    /// errno, EAGAIN if more input is needed first. If `may_wait`, the first receive from the
    /// descriptor may do without MSG_DONTWAIT: on a thread of the kernel this saves two of three
    /// system calls.
    virtual std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size, bool may_wait) = 0;
    /// As send(2) that does not wait: how many bytes of `data` have gone to the kernel, or -1 with
    /// errno. After EAGAIN the next call has the same bytes, of which a part may be on its way in
    /// another form; unless the operation has failed (its time is over): what a filter cannot go on
    /// from then it refuses.
    virtual std::ptrdiff_t send(Channel& channel, std::string_view data) = 0;
    /// Whether recv() would return bytes, or the end, although the kernel has none: they have been
    /// taken from the descriptor already.
    virtual bool has_pending() const noexcept = 0;
    /// Whether recv() would return bytes, the end or an error. Takes from the descriptor what is
    /// there, to find out. Called as recv() is.
    virtual bool look(Channel& channel);
    /// Called before the output of the connection is ended: tells the peer so in the filter's own
    /// way, as far as this is possible without waiting.
    virtual void shutdown(Channel& channel) noexcept = 0;

    /// What recv() waits for after EAGAIN, and what send() does, where it is not the obvious: in
    /// the middle of a handshake.
    virtual Direction recv_waits_for() const noexcept;
    virtual Direction send_waits_for() const noexcept;

    /// Called with the errno of an operation that failed, `protocol_error` for example: throws what
    /// the filter means by it. Returns if it has nothing of its own to say.
    virtual void throw_error(int error, std::string_view operation);
    /// Tells the filters of one class from those of another, also in a program without RTTI.
    virtual const void* kind() const noexcept;

    /// errno of an operation that failed in the filter, and not in the kernel.
    static constexpr int protocol_error = EPROTO;
    /// The same, if the connection ended without an end in the filter's own way.
    static constexpr int cut_off = ENODATA;
};

/// What recv() and send() of blocking_io.hpp are for a channel with a filter: with the same flags,
/// results and timeouts, and by the same carrier.
///
/// @pre `channel.filter` is not null.
std::ptrdiff_t filtered_recv(Channel& channel, char* data, std::size_t size, int flags);
std::ptrdiff_t filtered_send(Channel& channel, std::string_view data, int flags);

}  // namespace socketserver::detail
