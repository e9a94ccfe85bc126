// SPDX-License-Identifier: MIT
#include "policy/fibers/stack_pool.hpp"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>

#include "os/sys.hpp"
#include "policy/fibers/context.hpp"

namespace socketserver::detail {

namespace {

/// MADV_GUARD_INSTALL, which the headers of older systems do not have.
constexpr int install_guard = 102;
/// How many unused stacks keep their pages: enough for connections that come and go.
constexpr std::size_t most_warm = 256;
constexpr std::size_t smallest = 16UL * 1024;

/// A size that would overflow becomes the largest one, which mmap(2) refuses: so many stacks with
/// their guards take nearly all that can be counted.
std::size_t round_up_to_pages(std::size_t size, std::size_t at_once, std::size_t guard) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t most = std::numeric_limits<std::size_t>::max() / at_once - guard - page;
    return (std::clamp(size, smallest, most) + page - 1) / page * page;
}

/// Whether the kernel cannot write to a byte. It uses the system call itself, because the function
/// of the C library may write to the byte without the kernel, and crash.
bool is_inaccessible(char* byte) {
    return ::syscall(SYS_getrandom, byte, 1, GRND_NONBLOCK) == -1 && errno == EFAULT;
}

}  // namespace

StackPool::StackPool(std::size_t size, std::size_t at_once)
    : size_{round_up_to_pages(size, at_once, guard_size)}, at_once_{at_once} {}

StackPool::~StackPool() {
    for (char* slab : slabs_) ::munmap(slab, at_once_ * (guard_size + size_));
}

StackPool::Stack StackPool::take() {
    char* bottom = nullptr;
    if (warm_.empty()) {
        bottom = take_cold();
    } else {
        bottom = warm_.back();
        warm_.pop_back();
    }
    forget_former_use(bottom, bottom + size_);
    return {bottom, bottom + size_};
}

char* StackPool::take_cold() {
    if (cold_.empty()) map_slab();
    Unused& next = cold_.back();
    if (!next.guarded) {
        guard(next.bottom);
        next.guarded = true;
    }
    char* bottom = next.bottom;
    cold_.pop_back();
    return bottom;
}

void StackPool::give_back(Stack stack) noexcept {
    // Within the capacity that map_slab() reserved: does not throw.
    if (warm_.size() < most_warm) {
        warm_.push_back(stack.bottom);
    } else {
        sys::calls.madvise(stack.bottom, size_, MADV_DONTNEED);
        cold_.push_back({stack.bottom, true});
    }
}

void StackPool::release_below_caller(Stack stack) noexcept {
    constexpr std::uintptr_t needed = 1024;  // by the call of madvise() itself
    static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto bottom = reinterpret_cast<std::uintptr_t>(stack.bottom);
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const std::uintptr_t end = (frame - needed) / page * page;
    if (end > bottom) sys::calls.madvise(stack.bottom, end - bottom, MADV_DONTNEED);
}

void StackPool::map_slab() {
    slabs_.reserve(slabs_.size() + 1);
    cold_.reserve((slabs_.size() + 1) * at_once_);
    warm_.reserve(most_warm);
    const std::size_t each = guard_size + size_;
    void* memory = sys::calls.mmap(nullptr, at_once_ * each, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::system_error(errno, std::system_category(), "map the stacks of fibers");
    }
    // A huge page of two megabytes would be resident as a whole for a single byte. A kernel without
    // huge pages refuses the call, which does no harm.
    sys::calls.madvise(memory, at_once_ * each, MADV_NOHUGEPAGE);
    char* slab = static_cast<char*>(memory);
    slabs_.push_back(slab);
    for (std::size_t i = at_once_; i > 0; --i) {
        cold_.push_back({slab + (i - 1) * each + guard_size, false});
    }
}

void StackPool::guard(char* bottom) {
    char* lowest = bottom - guard_size;
    if (guards_ != Guards::by_mprotect) {
        const bool done = sys::calls.madvise(lowest, guard_size, install_guard) == 0;
        if (done && guards_ == Guards::untried && is_inaccessible(lowest)) {
            guards_ = Guards::by_madvise;
        }
        if (done && guards_ == Guards::by_madvise) return;
        guards_ = Guards::by_mprotect;
    }
    if (sys::calls.mprotect(lowest, guard_size, PROT_NONE) == -1) {
        throw std::system_error(errno, std::system_category(),
                                "guard the stack of a fiber (see vm.max_map_count)");
    }
}

}  // namespace socketserver::detail
