// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Maps memory that this process shares with the children that it forks. All of it is zero. The
/// caller owns it, and gives it back by munmap(2).
///
/// @throws std::system_error, with the operation as its text, if there is no memory.
SOCKETSERVER_EXPORT void* map_shared_memory(std::size_t size, std::string_view operation);

}  // namespace socketserver::detail
