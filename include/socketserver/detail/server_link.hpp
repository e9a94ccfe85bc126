// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver {
class ServerBase;
}

namespace socketserver::detail {

/// The way from a request to its server, for requests that may outlive it (daemon threads). The
/// server and the request own it together.
class SOCKETSERVER_EXPORT ServerLink {
  public:
    explicit ServerLink(ServerBase& server);
    ServerLink(const ServerLink&) = delete;
    ServerLink& operator=(const ServerLink&) = delete;
    ~ServerLink();

    /// @throws std::logic_error if the server is gone.
    ServerBase& server() const;

    /// Waits until nobody uses the server, and lets nobody begin.
    void cut() noexcept;

  private:
    friend class DaemonUse;

    struct State;
    std::unique_ptr<State> state_;
};

/// In a thread that may outlive its server: keeps the server from going, except during a Pause.
/// One at a time for each thread.
class SOCKETSERVER_EXPORT DaemonUse {
  public:
    explicit DaemonUse(std::shared_ptr<ServerLink> link);
    DaemonUse(const DaemonUse&) = delete;
    DaemonUse& operator=(const DaemonUse&) = delete;
    ~DaemonUse();
    /// False: the server is gone, nothing of it may be touched.
    explicit operator bool() const noexcept { return holds_; }

    /// Whether the calling thread is a daemon's, and its server gone.
    static bool is_lost() noexcept;

    /// While it lives, the calling thread does not keep its server. Does nothing in a thread that
    /// is not a daemon's.
    class SOCKETSERVER_EXPORT Pause {
      public:
        Pause();
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
        ~Pause();

      private:
        DaemonUse* use_;
    };

  private:
    void acquire();
    void release();

    std::shared_ptr<ServerLink> link_;
    bool holds_ = false;
};

}  // namespace socketserver::detail
