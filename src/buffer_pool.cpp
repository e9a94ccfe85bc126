// SPDX-License-Identifier: MIT
#include "buffer_pool.hpp"

#include <array>
#include <bit>
#include <memory>
#include <utility>

namespace socketserver::detail {

namespace {

constexpr std::size_t classes = 5;  // 8 KiB to 128 KiB
constexpr std::size_t kept_of_each = 16;

struct Kept {
    std::array<std::unique_ptr<char[]>, kept_of_each> buffers{};
    std::size_t count = 0;
};

/// What a thread keeps. A plain pointer leads to it: a thread_local object with a destructor would
/// be asked for each request whether it exists.
struct Pool {
    Pool() noexcept { of_this_thread = this; }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() { of_this_thread = nullptr; }

    static Kept* kept_for(std::size_t size) {
        if (of_this_thread == nullptr) thread_local Pool pool;
        const auto index = static_cast<std::size_t>(std::countr_zero(size / BufferPool::smallest));
        // Null at the end of the thread.
        return of_this_thread == nullptr || index >= classes ? nullptr
                                                             : &of_this_thread->of_class[index];
    }

    static constinit thread_local Pool* of_this_thread;
    std::array<Kept, classes> of_class{};
};

constinit thread_local Pool* Pool::of_this_thread = nullptr;

}  // namespace

char* BufferPool::take(std::size_t size) {
    Kept* kept = Pool::kept_for(size);
    return kept != nullptr && kept->count > 0 ? kept->buffers[--kept->count].release()
                                              : new char[size];
}

void BufferPool::give_back(char* buffer, std::size_t size) noexcept {
    std::unique_ptr<char[]> owned{buffer};
    Kept* kept = Pool::kept_for(size);
    if (kept != nullptr && kept->count < kept_of_each) {
        kept->buffers[kept->count++] = std::move(owned);
    }
}

void BufferPool::warm() {
    const Kept* kept = Pool::kept_for(smallest);
    if (kept != nullptr && kept->count == 0) give_back(take(smallest), smallest);
}

}  // namespace socketserver::detail
