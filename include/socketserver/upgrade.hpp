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
/// Replaces a running program by a new version of itself, without refusing any client:
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
/// said that it is ready, the old version drains and its serve_forever() returns. If the new
/// version dies, or is not ready in time, the old version goes on serving as before. Beyond Python.
namespace socketserver {

class ServerBase;

namespace detail {
class Upgrader;
}

/// The program that is started, and the times of the upgrade.
struct Upgrade {
    /// The path of the program, and its arguments. If it is empty, the file that is now at the path
    /// from which this program was started is run with the same arguments.
    std::vector<std::string> command{};
    /// How long the new version may take until it calls `systemd::notify("READY=1")`. After that
    /// time it is killed.
    std::chrono::nanoseconds ready_within = std::chrono::seconds{30};
    /// How long the old version's requests may take after that, see ServerBase::drain().
    std::chrono::nanoseconds drain_within = std::chrono::seconds{20};
};

/// The upgrade failed: the new version could not be started, has ended, or was not ready in time.
/// The old version goes on serving.
class SOCKETSERVER_EXPORT UpgradeError : public std::runtime_error {
  public:
    /// With the whole text.
    explicit UpgradeError(const std::string& text);
    ~UpgradeError() override;
};

/// Replaces the program when a signal comes, SIGUSR2 by default, for as long as the object lives.
/// If an upgrade fails, handle_server_error() of the first server gets an UpgradeError; the next
/// signal tries again. A signal that comes while the new version starts is ignored.
///
/// Several servers are handed over in their order, which is the order in which
/// `systemd::listen_fds()` of the new version returns them. They drain at the same time.
///
/// The new version has the environment and the working directory of the old one. Its signals have
/// their default actions, except that those which were ignored stay ignored. It inherits the
/// descriptors of the old version that are not close-on-exec; all descriptors of the library are
/// close-on-exec. If a service manager is told by notify(), the new version becomes the main
/// process of the service when it is ready.
///
/// In workers of PreforkMixIn and children of ForkingMixIn the signal does nothing. If the program
/// forks and serves in the child (as a daemon does), make the object in the child.
///
/// Thread safety: as ShutdownOnSignal. The object has a thread. Its destructor waits for a drain
/// that has begun, and kills a new version that has not said that it is ready.
class SOCKETSERVER_EXPORT UpgradeOnSignal {
  public:
    /// @throws std::system_error if the signal cannot be caught, if no thread or descriptor can be
    /// made, or if the path of this program is not known.
    explicit UpgradeOnSignal(ServerBase& server, Upgrade upgrade = {},
                             std::initializer_list<int> numbers = {SIGUSR2});
    /// @throws the same, and std::invalid_argument if there is no server.
    explicit UpgradeOnSignal(std::vector<std::reference_wrapper<ServerBase>> servers,
                             Upgrade upgrade = {}, std::initializer_list<int> numbers = {SIGUSR2});
    UpgradeOnSignal(const UpgradeOnSignal&) = delete;
    UpgradeOnSignal& operator=(const UpgradeOnSignal&) = delete;
    ~UpgradeOnSignal();

    /// Whether a new version has taken over. From then on systemd::notify() sends nothing to the
    /// service manager, because the end of this process is not the end of the service. May be
    /// called from any thread.
    bool is_replaced() const noexcept;

  private:
    std::unique_ptr<detail::Upgrader> upgrader_;
    std::vector<int> signals_;
};

}  // namespace socketserver
