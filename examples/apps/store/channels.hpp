// SPDX-License-Identifier: MIT
// Publish and subscribe.
#pragma once

#include <socketserver/fiber.hpp>
#include <socketserver/socket.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "database.hpp"

namespace store {

namespace ss = socketserver;

/// What is sent to a client that has subscribed, in order. Who publishes does not wait for it: a
/// client that does not read is cut off when too much has come together.
class Outbox {
  public:
    /// Sends to `connection`, which must outlive the object, in a fiber (or thread) of its own.
    explicit Outbox(ss::Socket& connection);
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;
    /// Drops what was not sent yet.
    ~Outbox();

    /// May be called from any thread.
    void send(std::shared_ptr<const std::string> message);

  private:
    void run();

    static constexpr std::size_t most = std::size_t{8} << 20;
    ss::Socket& connection_;
    ss::Queue<std::shared_ptr<const std::string>> messages_;
    std::atomic<std::size_t> waiting_{0};
    std::atomic<bool> is_over_{false};
    ss::Fiber sender_;
};

/// Who has subscribed to what. May be used from any thread.
class Channels {
  public:
    /// False: it had subscribed before.
    bool subscribe(const std::string& channel, Outbox& outbox);
    bool unsubscribe(const std::string& channel, Outbox& outbox);
    /// Returns how many were sent it.
    std::size_t publish(std::string_view channel, std::string_view message);

  private:
    std::mutex mutex_;
    TextMap<std::set<Outbox*>> subscribers_;
};

}  // namespace store
