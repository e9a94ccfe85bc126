// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "socketserver/policy.hpp"

namespace socketserver::detail {

/// Has a member with the name of each hook of Policy.
struct HookNames {
    char mixin_serve, mixin_ready, mixin_takes, mixin_fileno, mixin_service_at, mixin_service,
        mixin_statistics, mixin_drain, mixin_cancel, mixin_ended, mixin_serves_in_loop,
        mixin_blocks_on_close, mixin_enter_worker, mixin_close;
};
/// A name that both bases have is ambiguous here, whatever kind of member it is and whatever its
/// access.
template <class MixIn>
struct NamesOfBoth : MixIn, HookNames {};

/// A policy that has dispatch() and does not derive from Policy: every hook has its default.
template <class MixIn>
class WithoutHooks : public MixIn, public Policy {
// A macro, because the text of a static_assert must be a literal.
#define SOCKETSERVER_REQUIRE_POLICY_FOR(hook)    \
    static_assert(                               \
        requires { &NamesOfBoth<MixIn>::hook; }, \
        "derive this policy (MixIn) from socketserver::Policy, or nobody calls its " #hook)
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_serve);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_ready);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_takes);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_fileno);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_service_at);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_service);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_statistics);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_drain);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_cancel);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_ended);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_serves_in_loop);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_blocks_on_close);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_enter_worker);
    SOCKETSERVER_REQUIRE_POLICY_FOR(mixin_close);
#undef SOCKETSERVER_REQUIRE_POLICY_FOR
};

/// The base class through which a server has the policy `MixIn`. It derives from Policy in any
/// case.
template <class MixIn>
using PolicyBase =
    typename std::conditional_t<std::is_base_of_v<Policy, MixIn>, std::type_identity<MixIn>,
                                std::type_identity<WithoutHooks<MixIn>>>::type;

}  // namespace socketserver::detail
