// SPDX-License-Identifier: MIT
#include "io/buffer_pool.hpp"

#include <pthread.h>

#include <array>
#include <bit>

namespace socketserver::detail {

namespace {

constexpr std::size_t classes = 5;  // 8 KiB to 128 KiB
constexpr std::size_t kept_of_each = 16;

struct Kept {
    std::array<char*, kept_of_each> buffers;
    std::size_t count;
};

/// The buffers that a thread keeps. It has no destructor, for two reasons: the C library ends the
/// program if it has no memory to register a destructor for the end of a thread, and the compiler
/// would check at each access whether the object exists.
struct Pool {
    /// Null if there is no pool, at the end of the thread or for lack of memory.
    static Kept* kept_for(std::size_t size) noexcept;
    static bool make_ready() noexcept;

    bool is_ready;
    std::array<Kept, classes> of_class;
};

constinit thread_local Pool pool{};

void empty_pool(void* of_this_thread) noexcept {
    auto& ending = *static_cast<Pool*>(of_this_thread);
    ending.is_ready = false;
    for (Kept& kept : ending.of_class) {
        while (kept.count > 0) delete[] kept.buffers[--kept.count];
    }
}

/// Empties the pool of each thread that ends. The main thread's lives as long as the process.
class AtEndOfThread {
  public:
    AtEndOfThread() noexcept : has_key_{::pthread_key_create(&key_, empty_pool) == 0} {}
    AtEndOfThread(const AtEndOfThread&) = delete;
    AtEndOfThread& operator=(const AtEndOfThread&) = delete;
    /// Called when the library is unloaded: threads must not call its function any more.
    ~AtEndOfThread() {
        if (has_key_) ::pthread_key_delete(key_);
    }
    bool empty(Pool& of_this_thread) const noexcept {
        return has_key_ && ::pthread_setspecific(key_, &of_this_thread) == 0;
    }

  private:
    pthread_key_t key_{};
    bool has_key_;
};

const AtEndOfThread at_end_of_thread;

bool Pool::make_ready() noexcept {
    pool.is_ready = at_end_of_thread.empty(pool);
    return pool.is_ready;
}

Kept* Pool::kept_for(std::size_t size) noexcept {
    return size < BufferPool::smallest << classes && (pool.is_ready || make_ready())
               ? &pool.of_class[static_cast<std::size_t>(
                     std::countr_zero(size / BufferPool::smallest))]
               : nullptr;
}

}  // namespace

char* BufferPool::take(std::size_t size) {
    Kept* kept = Pool::kept_for(size);
    return kept != nullptr && kept->count > 0 ? kept->buffers[--kept->count] : new char[size];
}

void BufferPool::give_back(char* buffer, std::size_t size) noexcept {
    Kept* kept = Pool::kept_for(size);
    if (kept != nullptr && kept->count < kept_of_each) {
        kept->buffers[kept->count++] = buffer;
    } else {
        delete[] buffer;
    }
}

void BufferPool::warm() {
    const Kept* kept = Pool::kept_for(smallest);
    if (kept != nullptr && kept->count == 0) give_back(take(smallest), smallest);
}

}  // namespace socketserver::detail
