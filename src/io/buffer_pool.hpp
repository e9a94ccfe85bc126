// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>

namespace socketserver::detail {

/// Buffers that are taken and given back for each request, by the readers of one thread: an idle
/// connection holds none. The pool belongs to the calling thread and keeps a few megabytes at most.
class BufferPool {
  public:
    static constexpr std::size_t smallest = 8192;

    /// Uninitialised memory of `size` bytes; `size` is a power of two and at least `smallest`.
    static char* take(std::size_t size);
    static void give_back(char* buffer, std::size_t size) noexcept;
    /// Makes the pool of this thread ready, with a buffer in it.
    static void warm();
};

/// A buffer of the pool, for as long as the object lives.
class PooledBuffer {
  public:
    explicit PooledBuffer(std::size_t size)
        : size_{std::bit_ceil(std::max(size, BufferPool::smallest))},
          data_{BufferPool::take(size_)} {}
    PooledBuffer(const PooledBuffer&) = delete;
    PooledBuffer& operator=(const PooledBuffer&) = delete;
    ~PooledBuffer() { BufferPool::give_back(data_, size_); }
    char* data() const noexcept { return data_; }

  private:
    std::size_t size_;
    char* data_;
};

}  // namespace socketserver::detail
