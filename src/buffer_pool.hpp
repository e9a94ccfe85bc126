// SPDX-License-Identifier: MIT
#pragma once

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

}  // namespace socketserver::detail
