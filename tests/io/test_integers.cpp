// SPDX-License-Identifier: MIT
#include "socketserver/integers.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace socketserver;
using namespace std::string_view_literals;

namespace {

template <std::size_t size>
std::string text(const std::array<char, size>& bytes) {
    return {bytes.data(), bytes.size()};
}

/// What is packed is unpacked, in both orders, at any place.
template <class T>
void check_both_ways(T value) {
    for (const std::endian order : {std::endian::big, std::endian::little}) {
        const std::string bytes = text(pack<T>(value, order));
        CHECK(unpack<T>(bytes, order) == value);
        CHECK(unpack_from<T>("xyz" + bytes, 3, order) == value);
        std::string buffer(sizeof(T) + 3, '-');
        pack_into<T>(buffer, 2, value, order);
        CHECK(buffer == "--" + bytes + "-");
    }
    std::string reversed = text(pack<T>(value));
    std::reverse(reversed.begin(), reversed.end());
    CHECK(text(pack<T>(value, std::endian::little)) == reversed);
}

}  // namespace

TEST_CASE("integers are packed as struct.pack packs them") {
    CHECK(text(pack<std::uint16_t>(443)) == "\x01\xbb"sv);                               // "!H"
    CHECK(text(pack<std::uint16_t>(443, std::endian::little)) == "\xbb\x01"sv);          // "<H"
    CHECK(text(pack<std::int32_t>(-2)) == "\xff\xff\xff\xfe"sv);                         // "!i"
    CHECK(text(pack<std::uint64_t>(1)) == "\0\0\0\0\0\0\0\1"sv);                         // "!Q"
    CHECK(text(pack<std::uint8_t>(200)) == "\xc8");                                      // "!B"
    CHECK(text(pack<std::int64_t>(-1, std::endian::little)) == std::string(8, '\xff'));  // "<q"
    static_assert(unpack<std::uint32_t>("\x12\x34\x56\x78"sv) == 0x12345678);
    static_assert(unpack<std::uint32_t>("\x12\x34\x56\x78"sv, std::endian::little) == 0x78563412);
    static_assert(unpack<std::int16_t>("\xff\xfe"sv) == -2);
    static_assert(unpack<std::int8_t>("\x80"sv) == -128);
}

TEMPLATE_TEST_CASE("what is packed is unpacked", "", std::uint8_t, std::int8_t, std::uint16_t,
                   std::int16_t, std::uint32_t, std::int32_t, std::uint64_t, std::int64_t,
                   long long, unsigned long) {
    using Limits = std::numeric_limits<TestType>;
    const unsigned seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 engine{seed};
    check_both_ways<TestType>(Limits::min());
    check_both_ways<TestType>(Limits::max());
    check_both_ways<TestType>(0);
    for (int i = 0; i < 50; ++i) check_both_ways(static_cast<TestType>(engine()));
}

TEST_CASE("a value that does not fit is refused") {
    CHECK_THROWS_AS(pack<std::uint16_t>(65536), std::out_of_range);
    CHECK_THROWS_AS(pack<std::uint16_t>(-1), std::out_of_range);
    CHECK_THROWS_AS(pack<std::int8_t>(128U), std::out_of_range);
    CHECK_THROWS_AS(pack<std::int64_t>(std::uint64_t{1} << 63), std::out_of_range);
    std::string buffer = "abcd";
    CHECK_THROWS_AS(pack_into<std::uint16_t>(buffer, 0, 70'000), std::out_of_range);
    CHECK(buffer == "abcd");
}

TEST_CASE("what does not lie within the bytes is refused") {
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    CHECK(unpack_from<std::uint16_t>("abcd", 2) == 0x6364);
    CHECK_THROWS_AS(unpack_from<std::uint16_t>("abcd", 3), std::out_of_range);
    CHECK_THROWS_AS(unpack_from<std::uint16_t>("abcd", 4), std::out_of_range);
    CHECK_THROWS_AS(unpack_from<std::uint16_t>("abcd", huge), std::out_of_range);
    CHECK_THROWS_AS(unpack_from<std::uint16_t>("abcd", huge - 1), std::out_of_range);
    CHECK_THROWS_AS(unpack_from<std::uint64_t>("", 0), std::out_of_range);
    CHECK_THROWS_AS(unpack<std::uint32_t>("abc"), std::out_of_range);
    CHECK_THROWS_AS(unpack<std::uint32_t>("abcde"), std::out_of_range);
    std::string buffer = "abcd";
    pack_into<std::uint16_t>(buffer, 2, 0x4142);
    CHECK(buffer == "abAB");
    CHECK_THROWS_AS(pack_into<std::uint16_t>(buffer, 3, 0), std::out_of_range);
    CHECK_THROWS_AS(pack_into<std::uint16_t>(buffer, huge, 0), std::out_of_range);
    CHECK(buffer == "abAB");
}
