// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "socketserver/detail/export.hpp"

/// @file
/// A running program is replaced by a new version of itself, and no client is refused meanwhile:
///
///     int main() {
///         auto passed = systemd::listen_fds();  // of the service manager, or of the old version
///         ThreadingTCPServer<Handler> server = ...;  // with passed.front().socket, or an address
///         ShutdownOnSignal signals{server, DrainFor{20s, AcceptQueue::leave}};
///         UpgradeOnSignal upgrade{server};  // SIGUSR2
///         systemd::notify("READY=1");       // tells the old version as well
///         server.serve_forever();
///     }
///
/// The new version inherits the listening sockets, so that both share their queues. When it has
/// said that it is ready, the old one drains and its serve_forever() returns. If it dies, or is not
/// ready in time, the old one serves on as if nothing had been. Beyond Python.
namespace socketserver {

class ServerBase;

namespace detail {
class Upgrader;
}

/// What is started, and for how long it is waited for.
struct Upgrade {
    /// The program, by its path, and its arguments. Empty: what stands now at the path from which
    /// this program was started, with the same arguments.
    std::vector<std::string> command{};
    /// How long the new version may take until it says `systemd::notify("READY=1")`. Then it is
    /// killed.
    std::chrono::nanoseconds ready_within = std::chrono::seconds{30};
    /// How long the old version's requests may take after that, see ServerBase::drain().
    std::chrono::nanoseconds drain_within = std::chrono::seconds{20};
};

/// There is no new version: it could not be started, has ended, or was not ready in its time. What
/// was there serves on.
class SOCKETSERVER_EXPORT UpgradeError : public std::runtime_error {
  public:
    /// With the whole text.
    explicit UpgradeError(const std::string& text);
    ~UpgradeError() override;
};

/// Replaces the program on a signal, SIGUSR2 by default, for as long as the object lives. A failure
/// is an UpgradeError for handle_server_error() of the first server; the next signal tries again. A
/// signal that comes while the new version starts is passed over.
///
/// Several servers are handed over in their order, in which `systemd::listen_fds()` of the new
/// version has them, and drain at the same time.
///
/// The new version has the environment and the working directory of the old one, the signals at
/// their defaults (but ignored where they were), and of its descriptors those that are not
/// close-on-exec: of the library's own none. Under a service manager that is told by notify(), the
/// new version becomes the main process of the service when it is ready.
///
/// In workers of PreforkMixIn and children of ForkingMixIn the signal does nothing. In a child that
/// the program forks to serve (a daemon), make the object in the child.
///
/// Thread safety: as ShutdownOnSignal. The object has a thread. Its destructor waits for a drain
/// that has begun, and kills a new version that has not said that it is ready.
class SOCKETSERVER_EXPORT UpgradeOnSignal {
  public:
    /// @throws std::system_error if the signal cannot be caught, no thread or descriptor can be
    /// had, or the path of this program is not known.
    explicit UpgradeOnSignal(ServerBase& server, Upgrade upgrade = {},
                             std::initializer_list<int> numbers = {SIGUSR2});
    /// @throws std::invalid_argument as well without a server.
    explicit UpgradeOnSignal(std::vector<std::reference_wrapper<ServerBase>> servers,
                             Upgrade upgrade = {}, std::initializer_list<int> numbers = {SIGUSR2});
    UpgradeOnSignal(const UpgradeOnSignal&) = delete;
    UpgradeOnSignal& operator=(const UpgradeOnSignal&) = delete;
    ~UpgradeOnSignal();

    /// Whether a new version has taken over. From then on systemd::notify() tells the service
    /// manager nothing: that this process ends is no stop of the service. From any thread.
    bool is_replaced() const noexcept;

  private:
    std::unique_ptr<detail::Upgrader> upgrader_;
    std::vector<int> signals_;
};

}  // namespace socketserver
