// SPDX-License-Identifier: MIT
#include "io/reply_guard.hpp"

#include <atomic>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using detail::ReplyGuard;
using detail::TimePoint;

const Address client{"192.0.2.7", 4000};
const TimePoint start{std::chrono::hours{1}};

/// How many of `count` replies may be sent.
int sent(ReplyGuard& guard, const Address& to, int count, std::size_t bytes, TimePoint now) {
    int result = 0;
    for (int i = 0; i < count; ++i) {
        if (guard.may_send(to, bytes, now)) ++result;
    }
    return result;
}

}  // namespace

TEST_CASE("so many bytes may be sent for each that came") {
    ReplyGuard guard{3, {}};
    guard.note_received(client, 10, start);
    CHECK(guard.may_send(client, 20, start));
    CHECK_FALSE(guard.may_send(client, 11, start));
    CHECK(guard.may_send(client, 10, start));
    CHECK_FALSE(guard.may_send(client, 1, start));
    CHECK(guard.may_send(client, 0, start));
    SECTION("and more when more has come") {
        guard.note_received(client, 1, start + 1h);
        CHECK(sent(guard, client, 10, 1, start + 1h) == 3);
    }
    SECTION("to whichever port") {
        CHECK_FALSE(guard.may_send({"192.0.2.7", 53}, 1, start));
        guard.note_received({"192.0.2.7", 53}, 1, start);
        CHECK(guard.may_send(client, 3, start));
    }
    SECTION("and however the address is written") {
        CHECK_FALSE(guard.may_send({"::ffff:192.0.2.7", 4000}, 1, start));
    }
}

TEST_CASE("the largest numbers do not overflow") {
    constexpr std::size_t largest = ~std::size_t{0};
    ReplyGuard guard{largest, {}};
    for (int i = 0; i < 5; ++i) guard.note_received(client, 65535, start);
    CHECK(guard.may_send(client, 65535, start));
    ReplyGuard none{0, 0};
    none.note_received(client, 65535, start);
    CHECK_FALSE(none.may_send(client, 1, start));
    ReplyGuard fast{{}, largest};
    fast.note_received(client, 1, start);
    CHECK(sent(fast, client, 100, 1, start) == 100);
}

TEST_CASE("who has proved itself is not limited, for a time") {
    ReplyGuard guard{1, 1};
    guard.note_received(client, 1, start);
    guard.note_proved(client, start);
    CHECK(sent(guard, client, 10, 1000, start + ReplyGuard::proof_lasts - 1s) == 10);
    CHECK_FALSE(guard.may_send(client, 1000, start + ReplyGuard::proof_lasts));
    CHECK(guard.may_send(client, 1, start + ReplyGuard::proof_lasts));
}

TEST_CASE("who has sent nothing is not replied to, and not limited") {
    ReplyGuard guard{1, 1};
    CHECK(sent(guard, client, 10, 1000, start) == 10);
    CHECK(sent(guard, Address{std::string{"/a/path"}}, 10, 1000, start) == 10);
}

TEST_CASE("so many replies in a second are sent to a network") {
    ReplyGuard guard{{}, 5};
    const auto [one, neighbour, other] =
        GENERATE(std::tuple{"192.0.2.7", "192.0.2.250", "192.0.3.7"},
                 std::tuple{"2001:db8:1:100::1", "2001:db8:1:1ff::1", "2001:db8:1:200::1"});
    for (const char* host : {one, neighbour, other}) guard.note_received({host, 1}, 1, start);
    CHECK(sent(guard, {one, 1}, 3, 1000, start) == 3);
    CHECK(sent(guard, {neighbour, 1}, 10, 1000, start) == 2);
    CHECK(sent(guard, {other, 1}, 10, 1000, start) == 5);
    CHECK(sent(guard, {one, 1}, 10, 1000, start + 400ms) == 2);
    CHECK(sent(guard, {one, 1}, 10, 1000, start + 1h) == 5);
}

TEST_CASE("when sources push others out, nobody gets more than it may") {
    ReplyGuard guard{1, {}};
    guard.note_received(client, 10, start);
    REQUIRE(guard.may_send(client, 10, start));
    // Several times as many as there is room for.
    for (unsigned i = 0; i < 8 * ReplyGuard::most_sources; ++i) {
        const std::string host = "10." + std::to_string(i >> 16U) + '.' +
                                 std::to_string((i >> 8U) & 255U) + '.' + std::to_string(i & 255U);
        guard.note_received({host, 1}, 1, start + 1s);
    }
    CHECK_FALSE(guard.may_send(client, 10, start + 1s));
    SECTION("what it sends from then on counts") {
        guard.note_received(client, 10, start + 2s);
        CHECK(guard.may_send(client, 10, start + 2s));
        CHECK_FALSE(guard.may_send(client, 1, start + 2s));
    }
    SECTION("the doubt ends") {
        CHECK(guard.may_send(client, 10, start + 1s + ReplyGuard::doubt_lasts + 1s));
    }
}

TEST_CASE("who has proved itself is pushed out last") {
    ReplyGuard guard{1, {}};
    guard.note_proved(client, start);
    for (unsigned i = 0; i < ReplyGuard::most_sources; ++i) {
        const std::string host = "10.0." + std::to_string(i >> 8U) + '.' + std::to_string(i & 255U);
        guard.note_received({host, 1}, 1, start + 1s);
    }
    CHECK(guard.may_send(client, 1000, start + 1s));
}

TEST_CASE("several threads take no more than there is") {
    ReplyGuard guard{1, {}};
    constexpr int each = 10'000;
    std::atomic<int> taken{0};
    guard.note_received(client, each, start);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                guard.note_received(client, each, start);
                taken += sent(guard, client, 2 * each, 1, start);
            });
        }
    }
    CHECK(taken + sent(guard, client, 5 * each, 1, start) == 5 * each);
}
