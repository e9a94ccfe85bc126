// SPDX-License-Identifier: MIT
#include "socketserver/errors.hpp"

#include <netdb.h>

#include <string>
#include <type_traits>

#include "support/catch.hpp"

using namespace socketserver;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

TEST_CASE("a timeout compares as the standard's") {
    const TimeoutError error{"recv"};
    CHECK(error.code() == std::errc::timed_out);
    CHECK_THAT(error.what(), StartsWith("recv"));
    CHECK_THROWS_AS(throw TimeoutError{"recv"}, std::system_error);
}

TEST_CASE("a cancelled operation compares as the standard's") {
    const Cancelled error{"recv"};
    CHECK(error.code() == std::errc::operation_canceled);
    CHECK_THAT(error.what(), StartsWith("recv"));
    CHECK(std::string{Cancelled{error}.what()} == error.what());
    CHECK_THROWS_AS(throw Cancelled{"recv"}, std::exception);
    static_assert(!std::is_base_of_v<std::system_error, Cancelled>);  // see test_cancelled
    static_assert(!std::is_base_of_v<std::runtime_error, Cancelled>);
    static_assert(std::is_nothrow_copy_constructible_v<Cancelled>);
}

TEST_CASE("a line that is too long names the limit") {
    const LineTooLong error{65536};
    CHECK_THAT(error.what(), ContainsSubstring("65536 bytes"));
    CHECK_THROWS_AS(throw LineTooLong{1}, std::length_error);
}

TEST_CASE("an incomplete read tells what came, and may be copied") {
    const IncompleteReadError error{"read_exactly", "abc", 10};
    const IncompleteReadError copy = error;
    CHECK(copy.partial() == "abc");
    CHECK(copy.expected() == 10);
    CHECK(copy.what() == std::string{"read_exactly: the end came after 3 of 10 bytes"});
    static_assert(std::is_nothrow_copy_constructible_v<IncompleteReadError>);
}

TEST_CASE("an error of finish() has the error of handle() nested in it") {
    try {
        try {
            throw std::logic_error{"of handle"};
        } catch (...) {
            throw FinishError{"of finish"};
        }
    } catch (const FinishError& error) {
        CHECK(error.what() == std::string{"of finish"});
        CHECK_THROWS_WITH(error.rethrow_nested(), "of handle");
    }
}

TEST_CASE("errors of the resolver say what the resolver says") {
    const std::error_code code{EAI_NONAME, resolver_category()};
    CHECK(code.message() == ::gai_strerror(EAI_NONAME));
    CHECK(code.category().name() == std::string{"resolver"});
    CHECK(code != std::error_code{EAI_NONAME, std::system_category()});
}
