// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <memory>
#include <vector>

#include "socketserver/detail/export.hpp"

namespace socketserver {

class ServerBase;

namespace detail {
class DrainOnSignal;
class Waker;
}  // namespace detail

/// For ShutdownOnSignal: the first signal begins ServerBase::drain().
struct DrainFor {
    std::chrono::nanoseconds within;
};

/// Lets signals, SIGINT and SIGTERM by default, end serve_forever() of a server, for as long as the
/// object lives. The program then leaves main() in the ordinary way, with its destructors.
///
///     ThreadingTCPServer<Handler> server{{"localhost", 9999}};
///     ShutdownOnSignal signals{server};
///     server.serve_forever();
///
/// With `ShutdownOnSignal signals{server, DrainFor{10s}}` the first signal drains the server, and
/// serve_forever() returns when it is drained; a second signal ends at once what is left.
///
/// A signal that comes before serve_forever() ends the next one. Several servers, and several such
/// objects, may wait for the same signal: all are stopped. In a child that ForkingMixIn made, the
/// signals do what they did before; a worker of PreforkMixIn ignores them.
///
/// Thread safety: objects may be made and destroyed in any thread. The server must outlive the
/// object. One that drains has a thread, and its destructor waits for a drain that has begun.
///
/// Mirrors what `KeyboardInterrupt` does for `serve_forever()` in a Python program.
class SOCKETSERVER_EXPORT ShutdownOnSignal {
  public:
    /// @throws std::system_error if a signal cannot be caught.
    explicit ShutdownOnSignal(ServerBase& server,
                              std::initializer_list<int> numbers = {SIGINT, SIGTERM});
    /// @throws std::system_error as well if no thread or descriptor can be had.
    ShutdownOnSignal(ServerBase& server, DrainFor drain,
                     std::initializer_list<int> numbers = {SIGINT, SIGTERM});
    ShutdownOnSignal(const ShutdownOnSignal&) = delete;
    ShutdownOnSignal& operator=(const ShutdownOnSignal&) = delete;
    /// What the signals did before comes back.
    ~ShutdownOnSignal();

  private:
    void add(std::initializer_list<int> numbers);
    void remove() noexcept;

    std::unique_ptr<detail::DrainOnSignal> drain_;
    const detail::Waker& waker_;
    std::vector<int> signals_;
};

}  // namespace socketserver
