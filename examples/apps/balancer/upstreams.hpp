// SPDX-License-Identifier: MIT
// The servers behind the balancer: which of them can be reached, and how busy each is.
#pragma once

#include <socketserver/socketserver.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace balancer {

namespace ss = socketserver;

struct Upstream {
    explicit Upstream(ss::Address where) : address{std::move(where)} {}
    const ss::Address address;
    std::atomic<bool> is_up{true};
    std::atomic<std::size_t> active{0};  ///< connections that are passed on to it
};

/// All of them. May be used from any thread.
class Upstreams {
  public:
    /// Connects to each of them every `interval` to see whether it is there; the time that a
    /// connection may take is `connect_timeout`, here and for clients.
    Upstreams(const std::vector<ss::Address>& addresses, std::chrono::nanoseconds interval,
              std::chrono::nanoseconds connect_timeout);

    /// A connection to the least busy one that can be reached, and which one that is. Those that
    /// are known to be down are tried last.
    ///
    /// @throws std::system_error of the last attempt, if none can be reached.
    std::pair<ss::Socket, Upstream*> connect();

  private:
    void check_all(const std::stop_token& stop);
    void set_up(Upstream& upstream, bool is_up);

    std::deque<Upstream> upstreams_;
    std::atomic<std::size_t> turn_{0};
    const std::chrono::nanoseconds interval_, connect_timeout_;
    std::jthread checks_;  // ends before what it uses
};

}  // namespace balancer
