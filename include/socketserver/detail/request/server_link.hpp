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
/// and its requests own it together. Takes no lock: a forked child must not depend on who held one
/// at the fork.
class SOCKETSERVER_EXPORT ServerLink {
  public:
    explicit ServerLink(ServerBase& server) noexcept : server_{&server} {}
    ServerLink(const ServerLink&) = delete;
    ServerLink& operator=(const ServerLink&) = delete;

    /// For a request that cannot outlive the server; any other one needs a ServerPin.
    ///
    /// @throws std::logic_error if the server is gone.
    ServerBase& server() const;

    bool leads_to(const ServerBase& server) const noexcept { return server_ == &server; }

    /// Waits until no other thread pins the server, and lets nobody pin it any more.
    void cut() noexcept;
    /// In a forked child that takes the server over: the pins of its parent's threads are not its
    /// own.
    void forget_other_threads() noexcept;

  private:
    friend class ServerPin;

    ServerBase* const server_;
    /// How many pins there are, and whether the link is cut.
    mutable std::atomic<std::uint32_t> pins_{0};
};

/// While one exists, the server that it pins is not destroyed. So a check whether the server exists
/// and the use of the server are one step. An object is for one thread.
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

    /// Once for each object. False: the server is gone.
    bool pin(const ServerLink& link) noexcept;
    /// False: nothing of the server may be touched.
    explicit operator bool() const noexcept { return holds_; }
    /// While it is pinned.
    ServerBase& server() const noexcept { return *link_->server_; }

    /// While one lives, the pin of a request does not hold the server, because its handler runs and
    /// may take for ever.
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
    std::shared_ptr<const ServerLink> owned_;  ///< of a request, whose record goes first
    bool holds_ = false;
    ServerPin* outer_ = nullptr;  ///< of the same thread; the last one made goes first
};

}  // namespace socketserver::detail
