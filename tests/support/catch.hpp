// SPDX-License-Identifier: MIT
// One include for Catch2 v2 (Debian 12) and v3 (later systems). Tests use what both have: no
// SKIP(), STATIC_CHECK or BENCHMARK. Assertions are not thread-safe in either: what other threads
// find is recorded, and checked by the thread of the test.
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)

#    include <catch2/catch_approx.hpp>
#    include <catch2/catch_template_test_macros.hpp>
#    include <catch2/catch_test_macros.hpp>
#    include <catch2/generators/catch_generators.hpp>
#    include <catch2/generators/catch_generators_adapters.hpp>
#    include <catch2/generators/catch_generators_range.hpp>
#    include <catch2/matchers/catch_matchers.hpp>
#    include <catch2/matchers/catch_matchers_exception.hpp>
#    include <catch2/matchers/catch_matchers_floating_point.hpp>
#    include <catch2/matchers/catch_matchers_predicate.hpp>
#    include <catch2/matchers/catch_matchers_string.hpp>
#    include <catch2/matchers/catch_matchers_vector.hpp>

#else

#    include <catch2/catch.hpp>

namespace Catch::Matchers {

// What v2 calls Contains() is ContainsSubstring() in v3, where Contains() is for ranges.
inline auto ContainsSubstring(const std::string& text,
                              CaseSensitive::Choice sensitive = CaseSensitive::Yes) {
    return Contains(text, sensitive);
}

}  // namespace Catch::Matchers

#endif
