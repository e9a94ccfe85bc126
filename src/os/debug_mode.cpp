// SPDX-License-Identifier: MIT
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

#ifdef _GLIBCXX_DEBUG
const char library_compiled_with_GLIBCXX_DEBUG = 0;
#else
const char library_compiled_without_GLIBCXX_DEBUG = 0;
#endif

}  // namespace socketserver::detail
