// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace socketserver::detail {

/// Throws std::system_error from errno, with the operation as its text. Reads errno before anything
/// else; the text is put together afterwards, because that allocates and may change errno.
[[noreturn]] void throw_system_error(std::string_view operation);

}  // namespace socketserver::detail
