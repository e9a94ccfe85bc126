// SPDX-License-Identifier: MIT
#include "request/shared_counters.hpp"

#include <algorithm>

namespace socketserver::detail {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

void SharedCounters::Times::add(std::chrono::nanoseconds time) noexcept {
    constexpr auto& bounds = Histogram::bounds;
    const auto bound = std::ranges::lower_bound(bounds, time);
    counts.at(static_cast<std::size_t>(bound - bounds.begin())).fetch_add(1, relaxed);
    nanoseconds.fetch_add(static_cast<std::uint64_t>(time.count()), relaxed);
}

Histogram SharedCounters::Times::read() const noexcept {
    Histogram histogram;
    for (std::size_t i = 0; i < counts.size(); ++i) histogram.counts[i] = counts[i].load(relaxed);
    histogram.sum = std::chrono::nanoseconds{nanoseconds.load(relaxed)};
    return histogram;
}

}  // namespace socketserver::detail
