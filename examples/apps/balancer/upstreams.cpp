// SPDX-License-Identifier: MIT
#include "upstreams.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace balancer {

Upstreams::Upstreams(const std::vector<ss::Address>& addresses, std::chrono::nanoseconds interval,
                     std::chrono::nanoseconds connect_timeout)
    : interval_{interval}, connect_timeout_{connect_timeout} {
    for (const ss::Address& each : addresses) upstreams_.emplace_back(each);
    checks_ = std::jthread{[this](const std::stop_token& stop) { check_all(stop); }};
}

std::pair<ss::Socket, Upstream*> Upstreams::connect() {
    std::vector<Upstream*> order;
    order.reserve(upstreams_.size());
    // Among those that are equally busy, each begins in its turn.
    const std::size_t turn = turn_++;
    for (std::size_t i = 0; i < upstreams_.size(); ++i) {
        order.push_back(&upstreams_[(turn + i) % upstreams_.size()]);
    }
    // Looked at once: the numbers change while they are sorted by.
    std::vector<std::pair<std::pair<bool, std::size_t>, Upstream*>> ranked;
    ranked.reserve(order.size());
    for (Upstream* const each : order) {
        ranked.push_back({{!each->is_up, each->active}, each});
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [rank, upstream] : ranked) {
        try {
            ss::Socket connection =
                ss::create_connection(upstream->address, ss::SocketType::stream, connect_timeout_);
            set_up(*upstream, true);
            return {std::move(connection), upstream};
        } catch (const std::system_error&) {
            set_up(*upstream, false);
            if (upstream == ranked.back().second) throw;
        }
    }
    throw std::system_error{std::make_error_code(std::errc::host_unreachable), "no upstream"};
}

void Upstreams::check_all(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    while (!stop.stop_requested()) {
        for (Upstream& each : upstreams_) {
            bool is_up = true;
            try {
                ss::create_connection(each.address, ss::SocketType::stream, connect_timeout_);
            } catch (const std::system_error&) {
                is_up = false;
            }
            set_up(each, is_up);
        }
        std::unique_lock lock{mutex};
        stopped.wait_for(lock, stop, interval_, [] { return false; });
    }
}

void Upstreams::set_up(Upstream& upstream, bool is_up) {
    if (upstream.is_up.exchange(is_up) != is_up) {
        fmt::print(stderr, "{} is {}\n", upstream.address, is_up ? "up" : "down");
    }
}

}  // namespace balancer
