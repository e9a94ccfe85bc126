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

/// Tells the service manager about a server, from its serve loop: that the loop is running (the
/// watchdog), how many clients there are and were (STATUS), and, while the server drains, that it
/// is stopping and needs more time (STOPPING, EXTEND_TIMEOUT_USEC), whatever `TimeoutStopSec=`
/// says. If the loop is stuck, the manager is told nothing and ends the process.
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
/// It does nothing if there is no service manager, and nothing in workers of PreforkMixIn and other
/// children.
///
/// Thread safety: all threads that serve may call turn(). The server must outlive the object.
class SOCKETSERVER_EXPORT ServiceNotifier {
  public:
    /// Finds out whether there is a service manager, and whether it has a watchdog.
    explicit ServiceNotifier(const ServerBase& server);
    ServiceNotifier(const ServiceNotifier&) = delete;
    ServiceNotifier& operator=(const ServiceNotifier&) = delete;

    /// The argument for serve_forever(): with it the loop turns often enough to notify the watchdog
    /// after half of its time. At most 500 ms, at least 1 ms.
    std::chrono::milliseconds poll_interval() const noexcept;

    /// Notifies the manager if it is time to; otherwise it only reads the clock.
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
