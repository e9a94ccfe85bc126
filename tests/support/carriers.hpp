// SPDX-License-Identifier: MIT
// One test on every carrier of requests.
#pragma once

#include <functional>

#include "support/catch.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "support/fiber_serving.hpp"
#endif

namespace socketserver::tests {

/// Runs the test on a thread, and in a fiber.
inline void on_each_carrier(const std::function<void()>& test) {
    const TimeLimit limit;
    SECTION("on a thread") { test(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("in a fiber") { in_fiber(test); }
#endif
}

}  // namespace socketserver::tests
