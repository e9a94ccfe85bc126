// SPDX-License-Identifier: MIT
#include "socketserver/service_notifier.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "socketserver/server_base.hpp"
#include "socketserver/systemd.hpp"

namespace socketserver::systemd {

namespace {

using std::chrono::milliseconds;

/// How often the status is sent, and how often a drain asks for more time.
constexpr milliseconds usual{1000};
/// How much more time a drain asks for, each time.
constexpr std::chrono::microseconds extension{5'000'000};
constexpr milliseconds longest_poll{500};

milliseconds half_of(std::chrono::microseconds watchdog) {
    return std::max(std::chrono::duration_cast<milliseconds>(watchdog / 2), milliseconds{1});
}

}  // namespace

ServiceNotifier::ServiceNotifier(const ServerBase& server)
    : server_{server}, process_{::getpid()}, watchdog_{watchdog_enabled()} {}

milliseconds ServiceNotifier::poll_interval() const noexcept {
    // The interval is half of the time within which the watchdog is to be notified, because a turn
    // that comes just before that time does not notify it.
    return watchdog_ ? std::clamp(half_of(*watchdog_) / 2, milliseconds{1}, longest_poll)
                     : longest_poll;
}

void ServiceNotifier::turn() {
    const auto now = std::chrono::steady_clock::now();
    const bool begins_to_stop = server_.is_draining();
    if (now < next_.load(std::memory_order_relaxed) && (!begins_to_stop || is_stopping_)) return;
    if (::getpid() != process_) return;
    const std::unique_lock lock{mutex_, std::try_to_lock};
    if (!lock) return;  // another thread is about it
    next_ = now + (watchdog_ ? std::min(half_of(*watchdog_), usual) : usual);
    std::string state;
    if (watchdog_) state += "WATCHDOG=1\n";
    if (begins_to_stop) {
        if (!is_stopping_) state += "STOPPING=1\n";
        state += fmt::format("EXTEND_TIMEOUT_USEC={}\n", extension.count());
        is_stopping_ = true;
    }
    const Statistics statistics = server_.statistics();
    std::string status =
        fmt::format("STATUS={} clients, {} served, {} failed, {} refused\n", statistics.active,
                    statistics.served(), statistics.failed(), statistics.refused());
    if (status != status_) {
        state += status;
        status_ = std::move(status);
    }
    if (state.empty()) return;
    state.pop_back();
    notify(state);
}

}  // namespace socketserver::systemd
