// SPDX-License-Identifier: MIT
#include "socketserver/policy.hpp"

namespace socketserver {

Policy::~Policy() = default;

void Policy::mixin_serve(const std::function<void()>& loop, bool) { loop(); }

}  // namespace socketserver
