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

/// One thing that select() waits for. Made from a reader, a Socket, a Queue or an Event as it is,
/// and by readable(), writable() and hung_up(). What it is made from must outlive it.
class SOCKETSERVER_EXPORT Selectable {
  public:
    /// Nothing, which is never ready: for what is not waited for at the moment.
    Selectable() noexcept = default;
    /// Ready when the reader has bytes, buffered or from its connection, or is at the end.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the reader
    explicit(false) Selectable(BufferedReader& reader) noexcept : reader_{&reader} {}
    /// Ready when the socket has bytes, or a connection to accept, or is at the end. What a reader
    /// of it has buffered is not looked at: pass the reader.
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the socket
    explicit(false) Selectable(Socket& socket) noexcept : socket_{&socket} {}
    /// A Queue that has a value or is closed, an Event that is set.
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
    int descriptor_ = -1;  // of somebody else
    bool is_descriptor_ = false;
    short events_ = 0;  // of poll(2), where not the obvious is waited for
    void* object_ = nullptr;
    bool (*begin_watch_)(void* watched, detail::Watch& watch) = nullptr;
    void (*end_watch_)(void* watched, detail::Watch& watch) = nullptr;
};

/// A descriptor of another library, or of the program: ready when reading from it would not wait.
SOCKETSERVER_EXPORT Selectable readable(int descriptor) noexcept;
/// The same for writing; of a Socket pass `fileno()`.
SOCKETSERVER_EXPORT Selectable writable(int descriptor) noexcept;
/// Ready when the peer has ended its side, or the connection is broken: see
/// Socket::peer_has_ended(). Input that came before is left where it is.
SOCKETSERVER_EXPORT Selectable hung_up(Socket& socket) noexcept;

/// What select() has found: which of its arguments are ready, by their places.
class SOCKETSERVER_EXPORT Selected {
  public:
    /// For so many arguments, of which none is ready.
    explicit Selected(std::size_t size) : ready_(size) {}

    /// False: none is ready, the time is over.
    explicit operator bool() const noexcept { return any_; }
    /// Whether the argument at this place (0 is the first) is ready.
    bool operator[](std::size_t place) const { return ready_.at(place); }
    /// How many arguments there were.
    std::size_t size() const noexcept { return ready_.size(); }

  private:
    friend class detail::Selection;

    std::vector<bool> ready_;
    bool any_ = false;
};

/// Waits until one thing of several is ready, or the time is over; without a time for ever. On a
/// thread it blocks, in a fiber it suspends this fiber alone. Others may wait for the same things
/// meanwhile, and may take what is there before the caller does: a Queue is then asked by
/// try_pop().
///
/// A connection that the server accepted is ready also when a drain ends its input, or when a time
/// limit of the server is over: the next receive tells. Timeouts of sockets are not looked at.
///
/// Mirrors `select.select`; a Selectable says what is waited for of it.
///
/// @throws Cancelled if the server breaks off the request that is being served here; in a fiber
///         also if the server is being stopped.
/// @throws std::system_error if a descriptor is closed, or none can be had to wait with.
SOCKETSERVER_EXPORT Selected select(std::span<const Selectable> things,
                                    std::optional<std::chrono::nanoseconds> timeout = {});
inline Selected select(std::initializer_list<Selectable> things,
                       std::optional<std::chrono::nanoseconds> timeout = {}) {
    return select(std::span<const Selectable>{things.begin(), things.size()}, timeout);
}

}  // namespace socketserver
