// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <string_view>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Maps memory that this process shares with the children that it forks. All of it is zero. The
/// caller owns it, and gives it back by munmap(2).
///
/// @throws std::system_error, with the operation as its text, if there is no memory.
SOCKETSERVER_EXPORT void* map_shared_memory(std::size_t size, std::string_view operation);

/// A default-made T in such memory, mapped in this process for as long as the object lives here.
/// The T is not destroyed: other processes may still use it.
template <class T>
class SharedMemory {
  public:
    /// @throws std::system_error, with the operation as its text, if there is no memory.
    explicit SharedMemory(std::string_view operation)
        : value_{::new (map_shared_memory(sizeof(T), operation)) T} {}
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { ::munmap(value_, sizeof(T)); }

    T* operator->() const noexcept { return value_; }
    T& operator*() const noexcept { return *value_; }

  private:
    T* value_;
};

}  // namespace socketserver::detail
