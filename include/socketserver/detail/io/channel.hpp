// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

enum class Direction : unsigned char { read, write };

/// What a carrier of requests keeps for one direction of a descriptor, from the first wait until
/// the descriptor is closed or given away, or another carrier waits in that direction. That may
/// happen on any thread, and after the carrier has gone.
class Registration {
  public:
    Registration() = default;
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    /// Nobody uses the object afterwards: it is the carrier's to free. `stays_open`: the descriptor
    /// is not about to be closed.
    virtual void forget(bool stays_open) noexcept = 0;

  protected:
    ~Registration() = default;
};

/// A value that one thread may write while another reads it: one may receive while another sends.
/// Copying it is for the owner alone.
template <class T>
class Relaxed {
  public:
    // NOLINTNEXTLINE(google-explicit-constructor): it stands for the value
    explicit(false) Relaxed(T value) noexcept : value_{value} {}
    Relaxed(const Relaxed& other) noexcept : value_{other.load()} {}
    Relaxed& operator=(const Relaxed& other) noexcept {
        store(other.load());
        return *this;
    }
    T load() const noexcept { return value_.load(std::memory_order_relaxed); }
    void store(T value) noexcept { value_.store(value, std::memory_order_relaxed); }

  private:
    std::atomic<T> value_;
};

/// What receiving less than was asked for tells of a socket.
enum class ByteStream : unsigned char {
    unknown,      ///< nothing: a datagram socket, or a descriptor that came from elsewhere
    tcp,          ///< no more is there
    unix_domain,  ///< the same, unless what was sent along with the bytes has ended the receiving
};

/// What the blocking-I/O seam knows of one descriptor. Owned by a Socket.
///
/// An operation ends at the earlier of `timeout` from its start and `deadline`.
struct Channel {
    int fd = -1;
    /// The peer reset the connection or closed its reading side: what follows is its doing.
    Relaxed<bool> peer_gone = false;
    /// The kernel's own timeouts (SO_RCVTIMEO) equal `timeout`.
    Relaxed<bool> kernel_timeout_is_set = true;
    ByteStream stream = ByteStream::unknown;
    /// The socket of a datagram server: what is sent through it are replies.
    bool answers_requests = false;
    /// For each operation; negative: none; zero: do not wait.
    std::chrono::nanoseconds timeout{-1};
    /// For all operations together.
    Relaxed<TimePoint> deadline = never;
    /// Made by the carriers at the first wait. One for each direction, because one carrier may
    /// receive while another one sends: each of them knows its own only.
    Registration* reading = nullptr;
    Registration* writing = nullptr;
    /// What the server keeps of this connection; null for a socket that no server accepted.
    ConnectionHandle connection;

    TimePoint until() const {
        const TimePoint latest = deadline.load();
        if (timeout.count() < 0) return latest;
        return (std::min)(latest, deadline_after(timeout));
    }
    bool is_timed() const { return timeout.count() >= 0 || deadline.load() != never; }
};

}  // namespace socketserver::detail
