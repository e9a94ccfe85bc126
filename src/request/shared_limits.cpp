// SPDX-License-Identifier: MIT
#include "request/shared_limits.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <numeric>

#include "os/robust_mutex.hpp"

namespace socketserver::detail {

namespace {

using Index = std::uint32_t;  // of a share; 0 means none

constexpr std::size_t most_shares = 65536;
constexpr std::size_t buckets = 8192;

std::size_t bucket_of(const Origin& origin) {
    const std::uint64_t mixed =
        (origin.second ^ static_cast<std::uint64_t>(origin.first)) * 0x9E3779B97F4A7C15U;
    return static_cast<std::size_t>(mixed >> 51U);
}
static_assert(buckets == std::size_t{1} << (64U - 51U));

}  // namespace

/// The connections of one origin in one worker. A share exists while `count` is above 0. `count` is
/// set last and cleared first, so that repair() can tell whether a process that died left a whole
/// share.
struct SharedLimits::Share {
    Origin origin;
    std::atomic<std::size_t> count;
    Index next;
    std::uint32_t worker;
};

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the shares, see there
struct SharedLimits::Memory {
    RobustMutex mutex;
    TimePoint next_turn{};
    std::array<std::size_t, workers> taken{};
    std::size_t total = 0;  // of `taken`, so that it need not be added up each time
    Index used = 1;
    Index unused = 0;  ///< a list of the shares below `used` that do not exist
    std::array<Index, buckets> first{};
    // Not initialised, so that the kernel provides each page only when it is first used.
    alignas(Share) std::array<std::byte, most_shares * sizeof(Share)> shares;

    Share& share(Index index) noexcept { return reinterpret_cast<Share*>(shares.data())[index]; }
};

class SharedLimits::Lock {
  public:
    explicit Lock(SharedLimits& limits) noexcept : memory_{*limits.memory_} {
        memory_.mutex.lock([&] { limits.repair(); });
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() { memory_.mutex.unlock(); }

  private:
    Memory& memory_;
};

SharedLimits::SharedLimits() : memory_{"map the limits of worker processes"} {}

SharedLimits::~SharedLimits() = default;

bool SharedLimits::take_room(std::size_t worker, std::size_t most) noexcept {
    const Lock lock{*this};
    if (memory_->total >= most) return false;
    ++memory_->taken[worker];
    ++memory_->total;
    return true;
}

void SharedLimits::give_back_room(std::size_t worker) noexcept {
    const Lock lock{*this};
    --memory_->taken[worker];
    --memory_->total;
}

std::size_t SharedLimits::taken() noexcept {
    const Lock lock{*this};
    return memory_->total;
}

bool SharedLimits::take_share(std::size_t worker, const Origin& origin, std::size_t most) noexcept {
    const Lock lock{*this};
    Index& first = memory_->first[bucket_of(origin)];
    std::size_t total = 0;
    Share* own = nullptr;
    for (Index i = first; i != 0; i = memory_->share(i).next) {
        Share& share = memory_->share(i);
        if (share.origin != origin) continue;
        total += share.count;
        if (share.worker == worker) own = &share;
    }
    if (total >= most) return false;
    if (own != nullptr) {
        ++own->count;
        return true;
    }
    Index index = memory_->unused;
    if (index != 0) {
        memory_->unused = memory_->share(index).next;
    } else if (memory_->used < most_shares) {
        index = memory_->used;
        ::new (&memory_->share(index)) Share{origin, 0, 0, 0};
        ++memory_->used;
    } else {
        return false;
    }
    Share& share = memory_->share(index);
    share.origin = origin;
    share.worker = static_cast<std::uint32_t>(worker);
    share.next = first;
    first = index;
    share.count = 1;
    return true;
}

void SharedLimits::give_back_share(std::size_t worker, const Origin& origin) noexcept {
    const Lock lock{*this};
    for (Index* link = &memory_->first[bucket_of(origin)]; *link != 0;) {
        const Index index = *link;
        Share& share = memory_->share(index);
        if (share.origin != origin || share.worker != worker) {
            link = &share.next;
            continue;
        }
        if (--share.count > 0) return;
        *link = share.next;
        share.next = memory_->unused;
        memory_->unused = index;
        return;
    }
}

bool SharedLimits::take_turn(TimePoint now, Clock::duration interval,
                             Clock::duration burst) noexcept {
    const Lock lock{*this};
    if (memory_->next_turn - burst > now) return false;
    memory_->next_turn = std::max(memory_->next_turn, now) + interval;
    return true;
}

void SharedLimits::give_back_turn(Clock::duration interval) noexcept {
    const Lock lock{*this};
    memory_->next_turn -= interval;
}

TimePoint SharedLimits::next_turn() noexcept {
    const Lock lock{*this};
    return memory_->next_turn;
}

void SharedLimits::give_back_all(std::size_t worker) noexcept {
    const Lock lock{*this};
    memory_->taken[worker] = 0;
    for (Index i = 1; i < memory_->used; ++i) {
        if (memory_->share(i).worker == worker) memory_->share(i).count = 0;
    }
    repair();
}

/// Computes the sum again, and builds the lists again from the shares that exist.
void SharedLimits::repair() noexcept {
    const auto& taken = memory_->taken;
    memory_->total = std::accumulate(taken.begin(), taken.end(), std::size_t{0});
    memory_->first.fill(0);
    memory_->unused = 0;
    for (Index i = 1; i < memory_->used; ++i) {
        Share& share = memory_->share(i);
        Index& list = share.count > 0 ? memory_->first[bucket_of(share.origin)] : memory_->unused;
        share.next = list;
        list = i;
    }
}

}  // namespace socketserver::detail
