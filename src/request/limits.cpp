// SPDX-License-Identifier: MIT
#include "request/limits.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "request/request_table.hpp"
#include "socketserver/detail/request/place.hpp"

namespace socketserver::detail {

namespace {

/// How long a worker that found no room waits before it checks again. Other workers, which may give
/// room back, cannot wake it.
constexpr std::chrono::milliseconds look_again{10};

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// The limit on descriptors, minus some for the rest of the program. So the server normally does
/// not run out of descriptors.
std::size_t default_most() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur == RLIM_INFINITY) {
        return unlimited;
    }
    const rlim_t reserve = std::clamp<rlim_t>(limit.rlim_cur / 8, 16, 256);
    if (limit.rlim_cur <= reserve) return 1;
    return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur - reserve, unlimited));
}

LiveOptions live_part(const ServerOptions& options) {
    return {.max_connections = options.max_connections,
            .max_connections_per_address = options.max_connections_per_address,
            .max_accept_rate = options.max_accept_rate,
            .idle_timeout = options.idle_timeout,
            .request_timeout = options.request_timeout};
}

}  // namespace

Limits::Limits(const ServerOptions& options, bool is_stream)
    : settings_{live_part(options), is_stream ? default_most() : unlimited},
      waits_{options.overload == Overload::wait},
      are_announced_{options.proxy_protocol != ProxyProtocol::off} {
    // If clients are known by a header, the process that serves a client takes the share.
    if (are_announced_) shared_ = std::make_unique<SharedLimits>();
}

Clock::duration Limits::interval() const noexcept {
    const auto rate = settings_.max_accept_rate();
    if (!rate) return {};
    return std::chrono::duration_cast<Clock::duration>(std::chrono::seconds{1}) /
           std::max<std::size_t>(*rate, 1);
}

/// A tenth of the connections of a second may come at once. Otherwise connections that come
/// together would wait unnecessarily.
Clock::duration Limits::burst() const noexcept {
    const auto rate = settings_.max_accept_rate().value_or(0);
    return interval() * static_cast<Clock::rep>(std::max<std::size_t>(rate / 10, 1) - 1);
}

TimePoint Limits::accept_at() noexcept {
    if (!waits_) return {};
    if (taken() >= settings_.most_connections()) {
        waiting_ = true;
        // This checks again, because room that was given back before the line above has woken no
        // loop.
        if (taken() >= settings_.most_connections()) {
            return shares_room() ? Clock::now() + look_again : never;
        }
    }
    if (!settings_.limits_rate()) return {};
    const TimePoint turn = turn_at();
    return turn > Clock::now() ? turn : TimePoint{};
}

TimePoint Limits::turn_at() noexcept {
    if (worker_) return shared_->next_turn() - burst();
    const std::lock_guard lock{mutex_};
    return next_turn_ - burst();
}

void Limits::take(Place& place) noexcept {
    const std::size_t most = settings_.most_connections();
    if (shares_room()) {
        place.room = shared_->take_room(*worker_, most) ? Room::shared : Room::none;
    } else {
        std::size_t taken = taken_.load(std::memory_order_relaxed);
        while (taken < most && !taken_.compare_exchange_weak(taken, taken + 1)) {
        }
        place.room = taken < most ? Room::own : Room::none;
    }
    if (place.room == Room::none) {
        place.refused = RefuseCause::max_connections;
    } else if (settings_.limits_rate()) {
        place.has_turn = take_turn();
        if (!place.has_turn) place.refused = RefuseCause::max_accept_rate;
    }
}

/// To be called only if max_accept_rate is set, as give_back_turn().
bool Limits::take_turn() noexcept {
    const TimePoint now = Clock::now();
    if (worker_) return shared_->take_turn(now, interval(), burst());
    const std::lock_guard lock{mutex_};
    if (next_turn_ - burst() > now) return false;
    next_turn_ = std::max(next_turn_, now) + interval();
    return true;
}

void Limits::give_back_turn() noexcept {
    if (worker_) return shared_->give_back_turn(interval());
    const std::lock_guard lock{mutex_};
    next_turn_ -= interval();
}

bool Limits::take_share(const Address& address) {
    const std::optional<Origin> origin = origin_of(address);
    const std::size_t limit = settings_.max_connections_per_address().value_or(0);
    const std::size_t most = limit == 0 ? unlimited : limit;
    if (!origin) return true;
    if (shares_addresses()) return shared_->take_share(own_number(), *origin, most);
    const std::lock_guard lock{mutex_};
    std::size_t& count = shares_[*origin];
    if (count >= most) return false;
    ++count;
    return true;
}

void Limits::give_back_share(const Address& address) noexcept {
    const std::optional<Origin> origin = origin_of(address);
    if (!origin) return;
    if (shares_addresses()) return shared_->give_back_share(own_number(), *origin);
    const std::lock_guard lock{mutex_};
    const auto share = shares_.find(*origin);
    if (--share->second == 0) shares_.erase(share);
}

void Limits::share() {
    if (shared_ == nullptr) shared_ = std::make_unique<SharedLimits>();
}

void Limits::enter_worker(std::size_t number) noexcept {
    if (shared_ != nullptr) worker_ = number;
}

void Limits::worker_has_ended(std::size_t number) noexcept {
    if (shared_ != nullptr) shared_->give_back_all(number);
}

void Place::take_share(RequestTable& from, const Address& client_address) {
    if (from.limits.take_share(client_address)) {
        table = &from;
        share_of = &client_address;
    } else {
        refused = RefuseCause::max_connections_per_address;
    }
}

void Place::give_back_share() noexcept {
    table->limits.give_back_share(*std::exchange(share_of, nullptr));
}

void Place::give_back() noexcept {
    if (share_of != nullptr) give_back_share();
    RequestTable& owner = *std::exchange(table, nullptr);
    Limits& limits = owner.limits;
    if (has_turn) limits.give_back_turn();
    if (room == Room::none) return;
    if (room == Room::shared) {
        limits.shared_->give_back_room(*limits.worker_);
    } else {
        limits.taken_.fetch_sub(1);
    }
    if (limits.waiting_.load() && limits.waiting_.exchange(false)) owner.wake_loop();
}

}  // namespace socketserver::detail
