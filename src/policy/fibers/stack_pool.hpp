// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

namespace socketserver::detail {

/// The stacks of the fibers of one thread. A guard lies below each stack, so that an overflow is a
/// crash and does not overwrite another stack.
///
/// Thread safety: none; it belongs to the thread of its scheduler.
///
/// Memory: a stack gets pages as it grows. Some of the stacks that are given back keep their pages
/// for the next fibers. The pages of the others go back to the system at once. The address space is
/// freed when the pool is destroyed.
///
/// Mappings: a process may have 65,530 by default (vm.max_map_count). A guard made by
/// MADV_GUARD_INSTALL (Linux 6.13) is no mapping of its own. On an older kernel mprotect(2) makes
/// two mappings of each stack, and after 32,700 take() throws. The first guard is tested, because
/// an emulator (qemu-user) returns success without making a guard.
class StackPool {
  public:
    struct Stack {
        char* bottom = nullptr;  ///< the lowest usable address, right above the guard
        char* top = nullptr;
    };
    static constexpr std::size_t guard_size = 64UL * 1024;

    /// `size` is rounded up to pages. Address space is taken for `at_once` stacks at a time.
    explicit StackPool(std::size_t size, std::size_t at_once = 64);
    StackPool(const StackPool&) = delete;
    StackPool& operator=(const StackPool&) = delete;
    ~StackPool();

    /// @throws std::system_error if there is no memory, or no mapping for a guard.
    Stack take();
    void give_back(Stack stack) noexcept;
    /// Gives back the pages below the frame of the caller, which runs on this stack.
    static void release_below_caller(Stack stack) noexcept;

  private:
    struct Unused {
        char* bottom;
        bool guarded;
    };

    char* take_cold();
    void map_slab();
    void guard(char* bottom);

    std::size_t size_;
    std::size_t at_once_;
    std::vector<char*> slabs_;
    std::vector<char*> warm_;   // with pages
    std::vector<Unused> cold_;  // without
    enum class Guards { untried, by_madvise, by_mprotect } guards_ = Guards::untried;
};

}  // namespace socketserver::detail
