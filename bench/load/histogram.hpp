// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace load {

// Durations in nanoseconds, in buckets that are at most 1/32 wide.
class Histogram {
  public:
    void add(std::uint64_t nanoseconds) {
        ++counts_[bucket(nanoseconds)];
        ++total_;
        max_ = std::max(max_, nanoseconds);
    }
    double max_us() const { return static_cast<double>(max_) / 1000; }

    double quantile_us(double q) const {
        const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(total_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted) return std::min(static_cast<double>(floor_of(i)) / 1000, max_us());
        }
        return max_us();
    }

  private:
    static constexpr unsigned bits = 5;

    static std::size_t bucket(std::uint64_t value) {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        if (width <= bits) return static_cast<std::size_t>(value);
        const unsigned shift = width - bits - 1;
        return (std::size_t{shift} << bits) + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t floor_of(std::size_t index) {
        if (index < (2U << bits)) return index;
        const std::size_t shift = (index >> bits) - 1;
        return ((index & ((1U << bits) - 1)) | (1U << bits)) << shift;
    }

    std::array<std::uint64_t, 60U << bits> counts_{};
    std::uint64_t total_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace load
