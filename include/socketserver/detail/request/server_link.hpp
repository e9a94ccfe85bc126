// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "socketserver/detail/export.hpp"

namespace socketserver {
class ServerBase;
}

namespace socketserver::detail {

class Connection;

/// The way from a request to its server, which the request may outlive (daemon threads). The server
/// and its requests own it together. It takes no lock, because another thread might have held that
/// lock when a child was forked.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT ServerLink {
  public:
    explicit ServerLink(ServerBase& server) noexcept : server_{&server} {}
    ServerLink(const ServerLink&) = delete;
    ServerLink& operator=(const ServerLink&) = delete;

    /// For a request that cannot outlive the server. Any other request needs a ServerPin.
    ///
    /// @throws std::logic_error if the server is gone.
    ServerBase& server() const;

    bool leads_to(const ServerBase& server) const noexcept { return server_ == &server; }

    /// Prevents new pins, and waits until no other thread pins the server.
    void cut() noexcept;
    /// Called in a forked child that takes the server over: forgets the pins of the parent's
    /// threads, which do not exist in the child.
    void forget_other_threads() noexcept;

  private:
    friend class ServerPin;

    ServerBase* const server_;
    /// How many pins there are, and whether the link is cut.
    mutable std::atomic<std::uint32_t> pins_{0};
};

/// While a pin exists, the server that it pins is not destroyed. So checking whether the server
/// exists and using it is one step. An object may be used by one thread only.
class SOCKETSERVER_EXPORT ServerPin {
  public:
    /// Pins nothing yet.
    ServerPin() noexcept = default;
    explicit ServerPin(const ServerLink& link) noexcept { pin(link); }
    /// For as long as a request that may outlive its server is served.
    explicit ServerPin(Connection& connection) noexcept;
    ServerPin(const ServerPin&) = delete;
    ServerPin& operator=(const ServerPin&) = delete;
    ~ServerPin() {
        if (link_ != nullptr) leave();
    }

    /// Pins the server; to be called once for each object. Returns false if the server is gone.
    bool pin(const ServerLink& link) noexcept;
    /// Whether the server is pinned. If not, it must not be used.
    explicit operator bool() const noexcept { return holds_; }
    /// The server. To be called while it is pinned.
    ServerBase& server() const noexcept { return *link_->server_; }

    /// While a pause exists, the pin of a request does not keep the server from being destroyed,
    /// because the handler runs and may never end.
    class Pause {
      public:
        explicit Pause(ServerPin& pin) noexcept : pin_{pin} { pin_.release(); }
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
        ~Pause() { pin_.acquire(); }

      private:
        ServerPin& pin_;
    };

  private:
    friend class ServerLink;

    static std::uint32_t held_here(const ServerLink& link) noexcept;
    void acquire() noexcept;
    void release() noexcept;
    void leave() noexcept;

    const ServerLink* link_ = nullptr;
    std::shared_ptr<const ServerLink> owned_;  ///< of a request, whose record is destroyed first
    bool holds_ = false;
    ServerPin* outer_ = nullptr;  ///< the pin of the same thread that was made before this one
};

}  // namespace socketserver::detail
