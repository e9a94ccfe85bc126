// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "os/shared_memory.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// The LiveOptions of a server, in memory that all of its processes share: what one process sets is
/// in force in all of them.
///
/// Thread safety: all members may be called from any thread.
class SOCKETSERVER_EXPORT LiveSettings {
  public:
    /// @param default_most the limit of connections if max_connections is not set.
    /// @throws std::system_error if there is no memory.
    LiveSettings(const LiveOptions& options, std::size_t default_most);

    void set(const LiveOptions& options) noexcept;
    LiveOptions get() const noexcept;

    /// @name What each accept asks for
    /// @{
    bool limits_connections() const noexcept {
        return values_.max_connections.load(std::memory_order_relaxed) != none;
    }
    bool limits_rate() const noexcept {
        return values_.max_accept_rate.load(std::memory_order_relaxed) != none;
    }
    bool limits_addresses() const noexcept {
        return values_.max_connections_per_address.load(std::memory_order_relaxed) > 0;
    }
    /// max_connections, or the default.
    std::size_t most_connections() const noexcept {
        return values_.most_connections.load(std::memory_order_relaxed);
    }
    /// @}

    std::optional<std::size_t> max_connections_per_address() const noexcept {
        return number(values_.max_connections_per_address);
    }
    std::optional<std::size_t> max_accept_rate() const noexcept {
        return number(values_.max_accept_rate);
    }
    std::optional<std::chrono::nanoseconds> idle_timeout() const noexcept {
        return time(values_.idle_timeout);
    }
    std::optional<std::chrono::nanoseconds> request_timeout() const noexcept {
        return time(values_.request_timeout);
    }
    /// Whether a timeout is, or was, set. If not, no connection can have a deadline that would have
    /// to be removed.
    bool has_timeouts() const noexcept {
        return values_.has_timeouts.load(std::memory_order_relaxed);
    }

  private:
    using Value = std::atomic<std::int64_t>;
    static constexpr std::int64_t none = -1;
    static_assert(Value::is_always_lock_free);
    struct Values {
        Value max_connections;
        Value max_connections_per_address;
        Value max_accept_rate;
        Value idle_timeout;
        Value request_timeout;
        std::atomic<bool> has_timeouts;
        std::atomic<std::size_t> most_connections;  // follows from max_connections
    };

    static std::optional<std::size_t> number(const Value& value) noexcept {
        const std::int64_t count = value.load(std::memory_order_relaxed);
        return count < 0 ? std::nullopt : std::optional{static_cast<std::size_t>(count)};
    }
    static std::optional<std::chrono::nanoseconds> time(const Value& value) noexcept {
        const std::int64_t count = value.load(std::memory_order_relaxed);
        return count < 0 ? std::nullopt : std::optional{std::chrono::nanoseconds{count}};
    }

    SharedMemory<Values> memory_{"map the settings of a server"};
    Values& values_ = *memory_;
    const std::size_t default_most_;
};

}  // namespace socketserver::detail
