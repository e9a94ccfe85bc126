// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "request/live_settings.hpp"
#include "request/shared_limits.hpp"
#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"
#include "socketserver/detail/request/place.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// The limits of ServerOptions. Before a request is accepted, the server takes room
/// (max_connections), a turn (max_accept_rate) and, as soon as the client's address is known, a
/// share (max_connections_per_address). A Place holds them until the request has ended. A server
/// that refuses clients takes them right after accepting. So the limits are exact, even with
/// several accepting threads or processes.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT Limits {
  public:
    /// @throws std::system_error if there is no memory.
    Limits(const ServerOptions& options, bool is_stream);

    /// The settings that are in force.
    LiveSettings& settings() noexcept { return settings_; }
    const LiveSettings& settings() const noexcept { return settings_; }

    /// How much room is taken: by all workers, if they share max_connections.
    std::size_t taken() noexcept {
        return worker_ && settings_.limits_connections() ? shared_->taken() : taken_.load();
    }
    /// When accepting may be tried again: `TimePoint{}` means now, `never` means when room is given
    /// back. It is always now if there is room and no max_accept_rate.
    TimePoint accept_at() noexcept;

    /// Takes room (max_connections) and a turn (max_accept_rate). If the limit of one of them is
    /// reached, `place.refused` says which.
    void take(Place& place) noexcept;
    bool take_share(const Address& address);
    void give_back_share(const Address& address) noexcept;

    /// Whether clients wait in the kernel at max_connections and at max_accept_rate
    /// (Overload::wait).
    bool waits() const noexcept { return waits_; }

    /// @name Worker processes
    /// @{

    /// Called in the parent before it forks the first worker: from now on the workers share the
    /// limits. Further calls do nothing.
    ///
    /// @throws std::system_error if there is no memory.
    void share();
    /// Called in a worker; for `number` see SharedLimits. The parent goes on counting for itself.
    void enter_worker(std::size_t number) noexcept;
    /// Called in the parent when the worker has ended: gives back what the worker had taken.
    void worker_has_ended(std::size_t number) noexcept;
    /// @}

  private:
    friend struct Place;

    /// The default is each process's own.
    bool shares_room() const noexcept { return worker_ && settings_.limits_connections(); }
    Clock::duration interval() const noexcept;
    Clock::duration burst() const noexcept;
    bool shares_addresses() const noexcept { return worker_ || are_announced_; }
    std::size_t own_number() const noexcept { return worker_.value_or(SharedLimits::parent); }
    TimePoint turn_at() noexcept;
    bool take_turn() noexcept;
    void give_back_turn() noexcept;

    LiveSettings settings_;
    const bool waits_;
    const bool are_announced_;  // clients, by headers of the PROXY protocol

    std::atomic<std::size_t> taken_{0};
    std::atomic<bool> waiting_{false};
    std::mutex mutex_;
    TimePoint next_turn_;
    std::map<Origin, std::size_t> shares_;

    std::unique_ptr<SharedLimits> shared_;
    std::optional<std::size_t> worker_;  // the number of this process, if `shared_` is used
};

}  // namespace socketserver::detail
