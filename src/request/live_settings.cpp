// SPDX-License-Identifier: MIT
#include "request/live_settings.hpp"

#include <algorithm>
#include <limits>

namespace socketserver::detail {

namespace {

std::int64_t value_of(std::optional<std::size_t> number) noexcept {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    return number ? static_cast<std::int64_t>(std::min<std::uint64_t>(*number, most)) : -1;
}

std::int64_t value_of(std::optional<std::chrono::nanoseconds> time) noexcept {
    return time ? std::max<std::int64_t>(time->count(), 0) : -1;
}

}  // namespace

LiveSettings::LiveSettings(const LiveOptions& options, std::size_t default_most)
    : default_most_{default_most} {
    set(options);
}

void LiveSettings::set(const LiveOptions& options) noexcept {
    values_.max_connections = value_of(options.max_connections);
    const std::size_t most = options.max_connections.value_or(default_most_);
    values_.most_connections = most == 0 ? std::numeric_limits<std::size_t>::max() : most;
    values_.max_connections_per_address = value_of(options.max_connections_per_address);
    values_.max_accept_rate = value_of(options.max_accept_rate);
    values_.idle_timeout = value_of(options.idle_timeout);
    values_.request_timeout = value_of(options.request_timeout);
    if (options.idle_timeout || options.request_timeout) values_.has_timeouts = true;
}

LiveOptions LiveSettings::get() const noexcept {
    return {.max_connections = number(values_.max_connections),
            .max_connections_per_address = number(values_.max_connections_per_address),
            .max_accept_rate = max_accept_rate(),
            .idle_timeout = idle_timeout(),
            .request_timeout = request_timeout()};
}

}  // namespace socketserver::detail
