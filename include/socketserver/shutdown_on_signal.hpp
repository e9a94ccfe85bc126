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
class EndOnSignal;
class Waker;
struct SignalEffect;
}  // namespace detail

/// For ShutdownOnSignal: the first signal begins ServerBase::drain().
struct DrainFor {
    /// How long the drain may take.
    std::chrono::nanoseconds within;
    /// AcceptQueue::leave if another process, such as a service manager, has the socket as well.
    AcceptQueue queue = AcceptQueue::serve;
};

/// For ShutdownOnSignal: the signal stops the server, and requests that are being served then are
/// waited for no longer than that.
struct CloseWithin {
    /// From the call of server_close(), or the destructor; for a handler that keeps serve_forever()
    /// from returning, from the signal. std::chrono::nanoseconds::max(): as long as they last.
    std::chrono::nanoseconds time = std::chrono::seconds{5};
};

/// Lets signals, SIGINT and SIGTERM by default, end serve_forever() of a server, for as long as the
/// object lives. The program then leaves main() in the ordinary way, with its destructors.
///
///     ThreadingTCPServer<Handler> server{{"localhost", 9999}};
///     ShutdownOnSignal signals{server};
///     server.serve_forever();
///
/// So that the program ends, whatever its clients do, the server_close() or the destructor that
/// follows such a stop ends connections whose client owes the next request, waits for the other
/// requests for 5 seconds, and then breaks them off as drain() does; a second signal breaks them
/// off at once. So does the signal itself with a handler that runs in the serving thread, as under
/// SynchronousMixIn. `ShutdownOnSignal signals{server, CloseWithin{1min}}` sets another time. If
/// the program serves again, nothing of that happens. Where server_close() does not wait
/// (`daemon_threads`, `block_on_close`), it does not break off either. A handler that computes
/// cannot be broken off.
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
/// object. One that drains has a thread, and its destructor waits for a drain that has begun. One
/// for a server whose handlers run in the serving thread has a thread as well.
///
/// Mirrors what `KeyboardInterrupt` does for `serve_forever()` in a Python program, which then
/// waits for its threads without a bound.
class SOCKETSERVER_EXPORT ShutdownOnSignal {
  public:
    /// With CloseWithin{}.
    ///
    /// @throws std::system_error if a signal cannot be caught, or no thread or descriptor can be
    /// had.
    explicit ShutdownOnSignal(ServerBase& server,
                              std::initializer_list<int> numbers = {SIGINT, SIGTERM});
    /// @throws the same.
    ShutdownOnSignal(ServerBase& server, CloseWithin close,
                     std::initializer_list<int> numbers = {SIGINT, SIGTERM});
    /// @throws the same.
    ShutdownOnSignal(ServerBase& server, DrainFor drain,
                     std::initializer_list<int> numbers = {SIGINT, SIGTERM});
    ShutdownOnSignal(const ShutdownOnSignal&) = delete;
    ShutdownOnSignal& operator=(const ShutdownOnSignal&) = delete;
    /// Restores what the signals did before.
    ~ShutdownOnSignal();

  private:
    void add(std::initializer_list<int> numbers, const detail::SignalEffect& effect,
             const detail::Waker& stop);
    void remove() noexcept;

    std::unique_ptr<detail::EndOnSignal> end_;
    std::unique_ptr<detail::DrainOnSignal> drain_;
    std::vector<int> signals_;
};

}  // namespace socketserver
