// SPDX-License-Identifier: MIT
// One test under every policy.
#pragma once

#include <csignal>
#include <type_traits>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

/// Whether requests are served in child processes, which end with the signal that breaks them off.
template <template <class> class MixIn>
inline constexpr bool serves_in_children =
    std::is_same_v<TCPServer<StreamEcho, MixIn>, TCPServer<StreamEcho, ForkingMixIn>> ||
    std::is_same_v<TCPServer<StreamEcho, MixIn>, TCPServer<StreamEcho, PreforkMixIn>>;

/// Whether a drain can be tested under the policy: ThreadSanitizer delivers no signals in children.
template <template <class> class MixIn>
inline constexpr bool drains_here =
    delivers_signals_in_forked_children || !serves_in_children<MixIn>;

/// Runs the test, a `[]<template <class> class MixIn>() { ... }`, under each policy that there is.
void under_every_policy(auto test) {
    const TimeLimit limit;
    SECTION("synchronous") { test.template operator()<SynchronousMixIn>(); }
    SECTION("threading") { test.template operator()<ThreadingMixIn>(); }
    SECTION("pool") { test.template operator()<ThreadPoolMixIn>(); }
    std::signal(SIGTERM, SIG_DFL);  // in a child Catch would call it a failure
    SECTION("prefork") { test.template operator()<PreforkMixIn>(); }
    if (may_fork_beside_allocating_threads) {
        SECTION("forking") { test.template operator()<ForkingMixIn>(); }
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fiber") { test.template operator()<FiberMixIn>(); }
#endif
}

}  // namespace socketserver::tests
