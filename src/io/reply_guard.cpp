// SPDX-License-Identifier: MIT
#include "io/reply_guard.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

namespace socketserver::detail {

namespace {

constexpr std::uint64_t nobody = 0;
constexpr std::uint64_t changing = 1;  // an entry that another process or thread fills
constexpr std::int64_t second = 1'000'000'000;

std::int64_t count(TimePoint time) noexcept {
    return std::chrono::nanoseconds{time.time_since_epoch()}.count();
}

/// A bijection that leaves no bit where it was (splitmix64).
std::uint64_t mix(std::uint64_t value) noexcept {
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31U);
}

auto* find(auto& set, std::uint64_t key) noexcept {
    auto found = std::find_if(set.entries.begin(), set.entries.end(),
                              [&](const auto& entry) { return entry.key == key; });
    return found == set.entries.end() ? nullptr : &*found;
}

/// Makes `entry` that of `key`, unless somebody else is faster. `clear` resets the rest of it.
bool replace(auto& entry, std::uint64_t key, std::int64_t now, auto clear) noexcept {
    std::uint64_t former = entry.key;
    if (!entry.key.compare_exchange_strong(former, changing)) return false;
    entry.used_at = now;
    clear(entry);
    entry.key = key;
    return true;
}

/// An IPv4 network of 24 bits, or an IPv6 one of 56.
Origin network_of(const Origin& origin) noexcept {
    const auto without_last_byte = [](auto bits) {
        std::array<std::uint8_t, sizeof bits> bytes{};
        std::memcpy(bytes.data(), &bits, sizeof bits);
        bytes.back() = 0;
        std::memcpy(&bits, bytes.data(), sizeof bits);
        return std::uint64_t{bits};
    };
    if (origin.first == AddressFamily::inet) {
        return {origin.first, without_last_byte(static_cast<std::uint32_t>(origin.second))};
    }
    return {origin.first, without_last_byte(origin.second)};
}

}  // namespace

ReplyGuard::ReplyGuard(std::optional<std::size_t> max_amplification,
                       std::optional<std::size_t> max_rate)
    : max_amplification_{max_amplification}, max_rate_{max_rate} {
    if (::getrandom(&secret_, sizeof secret_, 0) != sizeof secret_) {
        throw std::system_error(errno, std::system_category(), "get random bytes");
    }
}

std::uint64_t ReplyGuard::key_of(const Origin& origin) const noexcept {
    const auto family = static_cast<std::uint64_t>(origin.first);
    return std::max(mix(mix(origin.second ^ secret_) ^ family), changing + 1);
}

ReplyGuard::SourceSet& ReplyGuard::set_of(std::uint64_t key) noexcept {
    return memory_->sources[static_cast<std::size_t>(key % memory_->sources.size())];
}

/// Null: others are faster, again and again.
ReplyGuard::Source* ReplyGuard::take_source(std::uint64_t key, std::int64_t now) noexcept {
    SourceSet& set = set_of(key);
    for (std::size_t tries = ways; tries > 0; --tries) {
        if (Source* found = find(set, key)) return found;
        // Who has proved itself goes last.
        const auto rank = [&](const Source& source) {
            return std::pair{source.proved_until > now, source.used_at.load()};
        };
        Source& oldest =
            *std::min_element(set.entries.begin(), set.entries.end(),
                              [&](const Source& a, const Source& b) { return rank(a) < rank(b); });
        const bool is_in_use = oldest.key != nobody &&
                               now - oldest.used_at < doubt_lasts / std::chrono::nanoseconds{1};
        if (!replace(oldest, key, now, [](Source& source) {
                source.credit = 0;
                source.proved_until = 0;
            })) {
            continue;
        }
        if (is_in_use) set.in_doubt_until = now + doubt_lasts / std::chrono::nanoseconds{1};
        return &oldest;
    }
    return nullptr;
}

void ReplyGuard::note_received(const Address& from, std::size_t bytes, TimePoint at) noexcept {
    const std::optional<Origin> origin = origin_of(from);
    if (!origin) return;
    const std::int64_t now = count(at);
    Source* const source = take_source(key_of(*origin), now);
    if (source == nullptr) return;
    source->used_at = now;
    if (!max_amplification_) return;
    // More than anybody sends in the life of a server, and it cannot overflow.
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / 2);
    const std::size_t factor = std::min(*max_amplification_, most);
    const std::size_t more = bytes == 0 || factor <= most / bytes ? factor * bytes : most;
    std::int64_t credit = source->credit;
    std::int64_t sum = 0;
    do {
        sum = std::min(credit, static_cast<std::int64_t>(most)) + static_cast<std::int64_t>(more);
    } while (!source->credit.compare_exchange_weak(credit, sum));
}

void ReplyGuard::note_proved(const Address& address, TimePoint at) noexcept {
    const std::optional<Origin> origin = origin_of(address);
    if (!origin) return;
    const std::int64_t now = count(at);
    if (Source* const source = take_source(key_of(*origin), now)) {
        source->used_at = now;
        source->proved_until = now + proof_lasts / std::chrono::nanoseconds{1};
    }
}

bool ReplyGuard::may_send(const Address& to, std::size_t bytes, TimePoint at) noexcept {
    const std::optional<Origin> origin = origin_of(to);
    if (!origin) return true;
    const std::int64_t now = count(at);
    const std::uint64_t key = key_of(*origin);
    SourceSet& set = set_of(key);
    Source* const source = find(set, key);
    // Who was pushed out may have sent something.
    if (source == nullptr) return set.in_doubt_until < now;
    if (source->proved_until > now) return true;
    if (max_amplification_ && !take_credit(*source, bytes)) return false;
    return !max_rate_ || take_turn(*origin, now);
}

bool ReplyGuard::take_credit(Source& source, std::size_t bytes) noexcept {
    std::int64_t credit = source.credit;
    do {
        if (credit < 0 || static_cast<std::size_t>(credit) < bytes) return false;
    } while (
        !source.credit.compare_exchange_weak(credit, credit - static_cast<std::int64_t>(bytes)));
    return true;
}

bool ReplyGuard::take_turn(const Origin& origin, std::int64_t now) noexcept {
    const std::int64_t interval = second / static_cast<std::int64_t>(std::clamp<std::size_t>(
                                               *max_rate_, 1, static_cast<std::size_t>(second)));
    if (*max_rate_ == 0) return false;
    const std::uint64_t key = key_of(network_of(origin));
    NetworkSet& set = memory_->networks[static_cast<std::size_t>(key % memory_->networks.size())];
    for (std::size_t tries = ways; tries > 0; --tries) {
        if (Network* found = find(set, key)) {
            found->used_at = now;
            std::int64_t full_at = found->full_at;
            std::int64_t then = 0;
            do {
                then = std::max(full_at, now) + interval;
                if (then - now > second) return false;
            } while (!found->full_at.compare_exchange_weak(full_at, then));
            return true;
        }
        Network& oldest = *std::min_element(
            set.entries.begin(), set.entries.end(),
            [](const Network& a, const Network& b) { return a.used_at < b.used_at; });
        replace(oldest, key, now, [](Network& network) { network.full_at = 0; });
    }
    return false;
}

}  // namespace socketserver::detail
