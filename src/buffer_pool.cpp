// SPDX-License-Identifier: MIT
#include "buffer_pool.hpp"

#include <array>
#include <bit>
#include <memory>
#include <vector>

namespace socketserver::detail {

namespace {

constexpr std::size_t classes = 5;  // 8 KiB to 128 KiB
constexpr std::size_t kept_of_each = 16;

struct Kept {
    Kept() {
        for (auto& kept : of_class) kept.reserve(kept_of_each);
    }
    std::array<std::vector<std::unique_ptr<char[]>>, classes> of_class;
};

std::vector<std::unique_ptr<char[]>>* kept_for(std::size_t size) {
    thread_local Kept kept;
    const auto index = static_cast<std::size_t>(std::countr_zero(size / BufferPool::smallest));
    return index < classes ? &kept.of_class[index] : nullptr;
}

}  // namespace

char* BufferPool::take(std::size_t size) {
    if (auto* kept = kept_for(size); kept != nullptr && !kept->empty()) {
        char* buffer = kept->back().release();
        kept->pop_back();
        return buffer;
    }
    return new char[size];
}

void BufferPool::give_back(char* buffer, std::size_t size) noexcept {
    std::unique_ptr<char[]> owned{buffer};
    auto* kept = kept_for(size);
    // Within the reserved capacity: does not throw.
    if (kept != nullptr && kept->size() < kept_of_each) kept->push_back(std::move(owned));
}

void BufferPool::warm() {
    if (auto* kept = kept_for(smallest); kept->empty()) give_back(take(smallest), smallest);
}

}  // namespace socketserver::detail
