// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/channel.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// The limits of ServerOptions: how much is taken, and whether more may be. Room, a share and a
/// turn are taken before something is accepted and given back afterwards, so that the limits are
/// exact with several accepting threads as well.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT Limits {
  public:
    Limits(const ServerOptions& options, bool is_stream);

    /// When accepting may be tried again: `TimePoint{}` is now, `never` when room is given back.
    TimePoint accept_at() noexcept;

    /// max_connections.
    bool take_room() noexcept;
    /// @return whether somebody waits for it.
    bool give_back_room() noexcept;

    /// max_accept_rate.
    bool take_turn() noexcept;
    void give_back_turn() noexcept;

    /// max_connections_per_address.
    bool limits_addresses() const noexcept { return most_per_address_ > 0; }
    bool take_share(const Address& address);
    void give_back_share(const Address& address) noexcept;

    /// Whether the server waits at max_connections and at max_accept_rate.
    bool waits() const noexcept { return waits_; }

  private:
    using Origin = std::pair<AddressFamily, std::uint64_t>;
    static std::optional<Origin> origin_of(const Address& address);
    TimePoint turn_at() const noexcept { return next_turn_ - burst_; }

    const bool waits_;
    const std::size_t most_;              // 0: no limit
    const std::size_t most_per_address_;  // 0: no limit
    const Clock::duration interval_;      // between two accepts; 0: no limit
    const Clock::duration burst_;

    std::atomic<std::size_t> taken_{0};
    std::atomic<bool> waiting_{false};
    std::mutex mutex_;
    TimePoint next_turn_;
    std::map<Origin, std::size_t> shares_;
};

}  // namespace socketserver::detail
