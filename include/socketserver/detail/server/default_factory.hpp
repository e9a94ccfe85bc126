// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <type_traits>

namespace socketserver::detail {

/// The factory that a server has when it was given none.
template <class Handler>
std::function<Handler()> default_factory() {
    static_assert(std::is_default_constructible_v<Handler>,
                  "this handler's constructor takes arguments: give the server a factory, "
                  "{address, options, [&] { return Handler{...}; }}");
    return [] { return Handler(); };
}

}  // namespace socketserver::detail
