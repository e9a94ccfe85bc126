// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>

namespace socketserver::detail {

/// Memory for the records of as many requests as a small server has at a time. It is a part of the
/// RequestTable, whose pages are written to for each request anyway. While a child lives, the
/// kernel copies every page that the parent writes to. With records from malloc, on pages of their
/// own, that was a tenth of the cost of a child.
///
/// Thread safety: all members may be called from any thread.
class RecordMemory {
  public:
    static constexpr std::size_t slot_size = 208;

    /// Takes memory for one record, from the heap if all is taken.
    ///
    /// @throws std::bad_alloc
    void* take() {
        std::uint32_t free = free_.load(std::memory_order_relaxed);
        while (free != 0) {
            const std::uint32_t rest = free & (free - 1);
            // The acquire makes the last writes of the former user visible.
            if (free_.compare_exchange_weak(free, rest, std::memory_order_acquire)) {
                return &slots_[static_cast<std::size_t>(std::countr_zero(free))];
            }
        }
        return ::operator new(slot_size);
    }
    void give_back(void* memory) noexcept {
        const auto* slot = static_cast<const Slot*>(memory);
        const std::less<> before;
        if (before(slot, slots_.data()) || !before(slot, slots_.data() + slots_.size())) {
            return ::operator delete(memory);
        }
        free_.fetch_or(std::uint32_t{1} << (slot - slots_.data()), std::memory_order_release);
    }

  private:
    static constexpr std::size_t count = 16;
    struct alignas(std::max_align_t) Slot {
        std::array<std::byte, slot_size> bytes;
    };

    std::atomic<std::uint32_t> free_{(std::uint32_t{1} << count) - 1};
    std::array<Slot, count> slots_{};
};

}  // namespace socketserver::detail
