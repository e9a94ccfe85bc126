// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

namespace socketserver::detail {

/// The stacks of the fibers of one thread. Below each lies a guard: touching it is a crash, never
/// the overwriting of a neighbour.
///
/// Memory: a stack takes pages as it grows into them. A few of the stacks that are given back keep
/// theirs, for the next fibers; the pages of the others go back to the system at once, and the
/// address space when the pool goes.
///
/// Mappings: a process may have 65,530 by default (vm.max_map_count). A guard made by
/// MADV_GUARD_INSTALL (Linux 6.13) is no mapping of its own. On an older kernel mprotect(2) makes
/// two mappings of each stack, and after 32,700 take() throws. The first guard is tried: an
/// emulator (qemu-user) answers that it has made one, and has not.
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

    /// @throws std::system_error if no memory, or no mapping for a guard, can be had.
    Stack take();
    void give_back(Stack stack) noexcept;

  private:
    struct Unused {
        char* bottom;
        bool guarded;
    };

    char* take_guarded();
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
