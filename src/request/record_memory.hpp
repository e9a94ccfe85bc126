// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace socketserver::detail {

/// Memory for the records of as many requests as a small server has at a time. It is a part of the
/// Registry, whose pages are written to for each request anyway. While a child lives, the kernel
/// copies every page that the parent writes to. With records from malloc, on pages of their own,
/// that was a tenth of the cost of a child.
///
/// Thread safety: all members may be called from any thread.
class RecordMemory {
  public:
    static constexpr std::size_t slot_size = 192;

    /// Null: all is taken.
    void* take() noexcept {
        std::uint32_t free = free_.load(std::memory_order_relaxed);
        while (free != 0) {
            const std::uint32_t rest = free & (free - 1);
            // Acquires what its former user wrote last.
            if (free_.compare_exchange_weak(free, rest, std::memory_order_acquire)) {
                return &slots_[static_cast<std::size_t>(std::countr_zero(free))];
            }
        }
        return nullptr;
    }
    /// False: `memory` is none of these.
    bool give_back(const void* memory) noexcept {
        const auto* slot = static_cast<const Slot*>(memory);
        const std::less<> before;
        if (before(slot, slots_.data()) || !before(slot, slots_.data() + slots_.size())) {
            return false;
        }
        free_.fetch_or(std::uint32_t{1} << (slot - slots_.data()), std::memory_order_release);
        return true;
    }

  private:
    static constexpr std::size_t count = 16;
    struct alignas(std::max_align_t) Slot {
        std::array<std::byte, slot_size> bytes;
    };

    std::atomic<std::uint32_t> free_{(std::uint32_t{1} << count) - 1};
    std::array<Slot, count> slots_{};
};

/// For std::allocate_shared(): from the RecordMemory of `Owner`, else from the heap. Each copy
/// keeps the owner, and so the memory, alive.
template <class T, class Owner>
class RecordAllocator {
  public:
    using value_type = T;

    explicit RecordAllocator(std::shared_ptr<Owner> owner) noexcept : owner_{std::move(owner)} {}
    template <class Other>
    // NOLINTNEXTLINE(google-explicit-constructor): as the requirements of an allocator have it
    explicit(false) RecordAllocator(const RecordAllocator<Other, Owner>& other) noexcept
        : owner_{other.owner()} {}

    T* allocate(std::size_t count) {
        if (count == 1 && sizeof(T) <= RecordMemory::slot_size) {
            if (void* memory = owner_->record_memory.take()) return static_cast<T*>(memory);
        }
        return std::allocator<T>{}.allocate(count);
    }
    void deallocate(T* memory, std::size_t count) noexcept {
        if (!owner_->record_memory.give_back(memory)) {
            std::allocator<T>{}.deallocate(memory, count);
        }
    }
    const std::shared_ptr<Owner>& owner() const noexcept { return owner_; }
    friend bool operator==(const RecordAllocator& one, const RecordAllocator& other) noexcept {
        return one.owner_ == other.owner_;
    }

  private:
    std::shared_ptr<Owner> owner_;
};

}  // namespace socketserver::detail
