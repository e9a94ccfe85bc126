// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace socketserver::detail {

inline constexpr std::size_t cache_line = 64;

/// Fetches so many lines of the cache, from that of `address` on, while the program goes on. What
/// lies there is not looked at: an address that is no longer valid does no harm. Null: nothing.
inline void prefetch(const void* address, std::size_t lines) noexcept {
    if (address == nullptr) return;
    const auto* byte = static_cast<const char*>(address);
    for (std::size_t i = 0; i < lines; ++i, byte += cache_line) __builtin_prefetch(byte, 1);
}

}  // namespace socketserver::detail
