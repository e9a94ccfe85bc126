// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <memory>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/drain_report.hpp"

namespace socketserver {

class ServerBase;

namespace detail {
class DrainOnSignal;
class Waker;
}  // namespace detail

/// For ShutdownOnSignal: the first signal begins ServerBase::drain().
struct DrainFor {
    /// How long the drain may take.
    std::chrono::nanoseconds within;
    /// AcceptQueue::leave if another process, such as a service manager, has the socket as well.
    AcceptQueue queue = AcceptQueue::serve;
};

/// Lets signals, SIGINT and SIGTERM by default, end serve_forever() of a server, for as long as the
/// object lives. The program then leaves main() in the ordinary way, with its destructors.
///
///     ThreadingTCPServer<Handler> server{{"localhost", 9999}};
///     ShutdownOnSignal signals{server};
///     server.serve_forever();
///
/// With `ShutdownOnSignal signals{server, DrainFor{10s}}` the first signal drains the server, and
/// serve_forever() returns when it is drained; a second signal breaks off at once what is left. If
/// the drain cannot begin because no thread can be made, handle_server_error() is called and the
/// server stops.
///
/// A signal that comes before serve_forever() ends the next one. Several servers, and several such
/// objects, may wait for the same signal: all are stopped. A signal that was ignored when the
/// object was made stays ignored: SIGHUP under nohup(1), SIGINT in the background job of a script.
///
/// In other processes. Children of ForkingMixIn and workers of PreforkMixIn leave the signals to
/// their parent, so that one which reaches all of them (Ctrl-C of a terminal, a service manager)
/// cuts no request off; a child of ForkingMixIn ends if its parent sends it the signal. In a child
/// that the program forks the signals do what they did before. If such a child serves the server,
/// its copy has a stop of its own: make the object in the child. An object that was made before the
/// fork stops that copy, but does not drain it, because its thread exists only in the parent.
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
    /// Restores what the signals did before.
    ~ShutdownOnSignal();

  private:
    void add(std::initializer_list<int> numbers, const detail::Waker& waker,
             const detail::Waker& stop);
    void remove() noexcept;

    std::unique_ptr<detail::DrainOnSignal> drain_;
    std::vector<int> signals_;
};

}  // namespace socketserver
