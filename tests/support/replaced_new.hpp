// SPDX-License-Identifier: MIT
// Replaces the operators new of a program by one function of the test, which may fail. To be
// included by one source of the program.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace socketserver::tests {

/// Allocates, by std::malloc(), or fails: null. Defined by the test.
void* allocate(std::size_t size) noexcept;

inline void* allocate_or_throw(std::size_t size) {
    if (void* memory = allocate(size)) return memory;
    throw std::bad_alloc();
}

}  // namespace socketserver::tests

// NOLINTBEGIN(misc-definitions-in-headers): a replacement must not be inline
void* operator new(std::size_t size) { return socketserver::tests::allocate_or_throw(size); }
void* operator new[](std::size_t size) { return socketserver::tests::allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return socketserver::tests::allocate(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return socketserver::tests::allocate(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(misc-definitions-in-headers)
