// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>

#include "socketserver/detail/io/byte_filter.hpp"
#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

struct DatagramCounters;

enum class Direction : unsigned char { read, write };

/// What a carrier of requests (see BlockingIo) keeps for one direction of a descriptor. It lives
/// from the first wait until the descriptor is closed or given away, or until another carrier waits
/// in that direction. Its end may come on any thread, and after the end of the carrier.
class Registration {
  public:
    Registration() = default;
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    /// Nobody else uses the object after this call, and the carrier frees it. `stays_open` says
    /// that the descriptor is not about to be closed.
    virtual void forget(bool stays_open) noexcept = 0;

  protected:
    ~Registration() = default;
};

/// A value that one thread may write while another reads it, because one thread may receive while
/// another sends. Only the owner may copy it.
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

/// What it means that a receive got less than it asked for.
enum class ByteStream : unsigned char {
    unknown,      ///< nothing: the socket is a datagram socket, or its kind is not known
    tcp,          ///< there is no more input at the moment
    unix_domain,  ///< the same, unless the receive ended at a passed descriptor or at another
                  ///< sender
};

/// What the blocking-I/O seam knows of one descriptor. Owned by a Socket.
///
/// An operation ends at the earlier of `timeout` from its start and `deadline`.
struct Channel {
    int fd = -1;
    /// The peer has reset the connection or closed its reading side; errors that follow are its
    /// doing.
    Relaxed<bool> peer_gone = false;
    /// The kernel's own timeouts (SO_RCVTIMEO) equal `timeout`.
    Relaxed<bool> kernel_timeout_is_set = true;
    ByteStream stream = ByteStream::unknown;
    /// The counters, if this is the socket of a datagram server: whatever is sent through it is a
    /// reply. Not owned; null for every other socket.
    DatagramCounters* datagrams = nullptr;
    /// The timeout of each operation. Negative means no timeout, zero that operations do not wait.
    std::chrono::nanoseconds timeout{-1};
    /// The deadline of all operations together.
    Relaxed<TimePoint> deadline = never;
    /// Made by the carriers at the first wait. There is one for each direction, because one carrier
    /// may receive while another sends; each knows only its own.
    Registration* reading = nullptr;
    Registration* writing = nullptr;
    /// What the server knows of this connection; null for a socket that no server accepted.
    ConnectionHandle connection;
    /// The filter between the socket and the descriptor; null for a plain socket.
    std::unique_ptr<ByteFilter> filter;

    TimePoint until() const {
        const TimePoint latest = deadline.load();
        if (timeout.count() < 0) return latest;
        return (std::min)(latest, deadline_after(timeout));
    }
    bool is_timed() const { return timeout.count() >= 0 || deadline.load() != never; }
};

}  // namespace socketserver::detail
