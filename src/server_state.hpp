// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "socketserver/detail/blocking_io.hpp"
#include "socketserver/detail/waker.hpp"
#include "unix_path.hpp"

namespace socketserver {
class ServerBase;
}

namespace socketserver::detail {

/// What a server keeps while it serves and stops, out of the public header.
///
/// The stop waker is the truth about a stop that was asked for: it is readable from shutdown()
/// until the last loop has seen it. That makes a stop work from a signal handler and from a forked
/// child as well. `stop` is the same for a glance, without a system call.
struct ServerState {
    Waker stop_waker;
    Waker loop_waker;
    std::atomic<bool> stop{false};

    std::mutex mutex;
    std::condition_variable ended;
    int serving = 0;           ///< threads in serve_forever() or handle_request()
    std::uint64_t serves = 0;  ///< how often the last of them has left
    bool closed = false;
    std::atomic<pid_t> owner;  ///< the process that made the server, or serves it

    std::atomic<std::chrono::milliseconds> pause{};  ///< after a lack of descriptors; 0: none
    std::atomic<TimePoint> accept_again{TimePoint{}};

    UnixPath unix_path;

    ServerState();

    bool is_pausing() const {
        return pause.load(std::memory_order_relaxed).count() > 0 &&
               accept_again.load(std::memory_order_relaxed) > Clock::now();
    }
};

/// One stay of a thread in serve_forever() or handle_request().
class Serving {
  public:
    /// @throws std::system_error if the server is closed.
    Serving(ServerBase& server, ServerState& state);
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;
    ~Serving();

    bool stopped() const noexcept { return state_.stop.load(std::memory_order_relaxed); }
    /// Waits until a request may be there, somebody stops the server, or the time is over.
    /// @return false if the time is over.
    bool wait(int listener, int policy, TimePoint until);
    /// Sees a stop that came from a signal handler or from a child, without waiting.
    void look_for_stop();

  private:
    ServerBase& server_;
    ServerState& state_;
    ServerMark mark_;
};

}  // namespace socketserver::detail
