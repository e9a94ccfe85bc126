// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/watch.hpp"

namespace socketserver {

class BufferedReader;
class Socket;

namespace detail {
class Selection;
}

/// One thing that select() waits for. A reader, a Socket, a Queue or an Event converts to it;
/// readable(), writable() and hung_up() make the others. The object from which it is made must
/// outlive it.
///
/// Thread safety: a value that refers to the object; it may be copied.
class SOCKETSERVER_EXPORT Selectable {
  public:
    /// Refers to nothing, and is never ready. For a thing that a loop does not wait for at the
    /// moment.
    Selectable() noexcept = default;
    /// Ready when the reader has bytes, in its buffer or from its connection, or is at the end of
    /// the stream.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the reader
    explicit(false) Selectable(BufferedReader& reader) noexcept : reader_{&reader} {}
    /// Ready when the socket has bytes, or a connection to accept, or is at the end of the stream.
    /// The buffer of a reader of this socket is not considered: pass the reader instead.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the socket
    explicit(false) Selectable(Socket& socket) noexcept : socket_{&socket} {}
    /// Ready when a Queue has a value or is closed, or when an Event is set.
    template <detail::watchable Object>
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the object
    explicit(false) Selectable(Object& object) noexcept
        : object_{&object},
          begin_watch_{[](void* watched, detail::Watch& watch) {
              return static_cast<Object*>(watched)->begin_watch(watch);
          }},
          end_watch_{[](void* watched, detail::Watch& watch) {
              static_cast<Object*>(watched)->end_watch(watch);
          }} {}

  private:
    friend class detail::Selection;
    /// @cond  they have their own entries
    friend SOCKETSERVER_EXPORT Selectable readable(int descriptor) noexcept;
    friend SOCKETSERVER_EXPORT Selectable writable(int descriptor) noexcept;
    friend SOCKETSERVER_EXPORT Selectable hung_up(Socket& socket) noexcept;
    /// @endcond

    BufferedReader* reader_ = nullptr;
    Socket* socket_ = nullptr;
    int descriptor_ = -1;  // not owned
    bool is_descriptor_ = false;
    short events_ = 0;  // of poll(2), if it is not the default for the thing
    void* object_ = nullptr;
    bool (*begin_watch_)(void* watched, detail::Watch& watch) = nullptr;
    void (*end_watch_)(void* watched, detail::Watch& watch) = nullptr;
};

/// Ready when reading from the descriptor, which belongs to the program or to another library,
/// would not block.
SOCKETSERVER_EXPORT Selectable readable(int descriptor) noexcept;
/// The same for writing. For a Socket pass its `fileno()`.
SOCKETSERVER_EXPORT Selectable writable(int descriptor) noexcept;
/// Ready when the peer has ended its side, or the connection is broken: see
/// Socket::peer_has_ended(). Input that came before stays where it is.
SOCKETSERVER_EXPORT Selectable hung_up(Socket& socket) noexcept;

/// The result of select(): which of its arguments are ready, by their positions. A value.
class SOCKETSERVER_EXPORT Selected {
  public:
    /// For `size` arguments, of which none is ready.
    explicit Selected(std::size_t size) : ready_(size) {}

    /// Whether any argument is ready. False means that the time is over.
    explicit operator bool() const noexcept { return any_; }
    /// Whether the argument at this position (0 is the first) is ready.
    bool operator[](std::size_t place) const { return ready_.at(place); }
    /// How many arguments there were.
    std::size_t size() const noexcept { return ready_.size(); }

  private:
    friend class detail::Selection;

    std::vector<bool> ready_;
    bool any_ = false;
};

/// Waits until at least one of several things is ready, or the time is over; without a time there
/// is no limit. In a thread it blocks; in a fiber it suspends this fiber only. Other threads may
/// wait for the same things, and may take a value before the caller does: so take from a Queue by
/// try_pop().
///
/// A connection that the server accepted is ready also when a drain ends its input, or when a time
/// limit of the server is over; the next receive then reports that. Timeouts of sockets are
/// ignored.
///
/// Mirrors `select.select`. Where Python has three lists, each Selectable says what it waits for.
///
/// @throws Cancelled if the server breaks off the request that is being served here; in a fiber
///         also if the server is being stopped.
/// @throws std::system_error if a descriptor is closed, or no descriptor for waiting can be made.
SOCKETSERVER_EXPORT Selected select(std::span<const Selectable> things,
                                    std::optional<std::chrono::nanoseconds> timeout = {});
inline Selected select(std::initializer_list<Selectable> things,
                       std::optional<std::chrono::nanoseconds> timeout = {}) {
    return select(std::span<const Selectable>{things.begin(), things.size()}, timeout);
}

}  // namespace socketserver
