// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace socketserver::detail {

inline constexpr std::size_t cache_line = 64;

/// Starts fetching `lines` cache lines, beginning with that of `address`, while the program goes
/// on. The memory is not read, so an address that is no longer valid does no harm. Null is ignored.
inline void prefetch(const void* address, std::size_t lines) noexcept {
    if (address == nullptr) return;
    const auto* byte = static_cast<const char*>(address);
    for (std::size_t i = 0; i < lines; ++i, byte += cache_line) __builtin_prefetch(byte, 1);
}

}  // namespace socketserver::detail
