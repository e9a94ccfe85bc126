// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "socketserver/detail/export.hpp"

namespace socketserver {

class ServerBase;

namespace systemd {

/// Tells the service manager, from the serve loop, how a server is: that the loop turns (the
/// watchdog), how many clients there are and were (STATUS), and, while the server drains, that it
/// stops and needs more time for that (STOPPING, EXTEND_TIMEOUT_USEC), however long
/// `TimeoutStopSec=` is. A loop that is stuck says nothing, and the manager ends the process.
///
///     class Service : public ThreadingTCPServer<Handler> {
///         void service_actions() override {
///             TCPServer::service_actions();
///             notifier_.turn();
///         }
///         systemd::ServiceNotifier notifier_{*this};
///     };
///     server.serve_forever(server.poll_interval());
///
/// It does nothing without a manager, in workers of PreforkMixIn and in other children.
///
/// Thread safety: turn() may be called by all threads that serve. The server outlives the object.
class SOCKETSERVER_EXPORT ServiceNotifier {
  public:
    /// Looks whether there is a manager, and a watchdog.
    explicit ServiceNotifier(const ServerBase& server);
    ServiceNotifier(const ServiceNotifier&) = delete;
    ServiceNotifier& operator=(const ServiceNotifier&) = delete;

    /// For serve_forever(): how often the loop has to turn, so that the watchdog hears of it in
    /// half of its time. At most 500 ms, at least 1 ms.
    std::chrono::milliseconds poll_interval() const noexcept;

    /// Tells what is to be told, if it is time to. Costs a look at the clock otherwise.
    ///
    /// @throws std::system_error if the manager cannot be told.
    void turn();

  private:
    const ServerBase& server_;
    const int process_;
    const std::optional<std::chrono::microseconds> watchdog_;
    std::atomic<std::chrono::steady_clock::time_point> next_{};
    std::mutex mutex_;
    std::atomic<bool> is_stopping_{false};
    std::string status_;
};

}  // namespace systemd
}  // namespace socketserver
