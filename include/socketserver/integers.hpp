// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

/// @file
/// Integers as protocols write them: a fixed number of bytes, the most significant one first
/// (network order, `std::endian::big`, the default) or last (`std::endian::little`). Readers and
/// writers have the same for streams: BufferedReader::read_integer(),
/// BufferedWriter::write_integer().
///
/// All of them are functions without state, and may be called from any thread. The type is always
/// spelled out, because it decides how many bytes there are: `pack<std::uint16_t>(443)`.
///
/// Mirrors `struct.pack`, `struct.unpack`, `struct.pack_into` and `struct.unpack_from` with formats
/// of one number (`"!H"`, `"<I"`).
namespace socketserver {

/// The signed and unsigned integers, without `bool` and the types of characters.
template <class T>
concept packable_integer =
    std::integral<T> && !std::same_as<std::remove_cv_t<T>, bool> &&
    !std::same_as<std::remove_cv_t<T>, char> && !std::same_as<std::remove_cv_t<T>, wchar_t> &&
    !std::same_as<std::remove_cv_t<T>, char8_t> && !std::same_as<std::remove_cv_t<T>, char16_t> &&
    !std::same_as<std::remove_cv_t<T>, char32_t>;

/// The bytes of `value`.
///
/// @throws std::out_of_range if `T` cannot represent `value`: no bits are lost silently.
template <packable_integer T>
constexpr std::array<char, sizeof(T)> pack(packable_integer auto value,
                                           std::endian order = std::endian::big) {
    if (!std::in_range<T>(value)) {
        throw std::out_of_range("pack: the value does not fit into the integer's bytes");
    }
    const auto bits = static_cast<std::make_unsigned_t<T>>(value);
    std::array<char, sizeof(T)> bytes{};
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        const std::size_t shift = 8 * (order == std::endian::little ? i : sizeof(T) - 1 - i);
        bytes[i] = static_cast<char>(static_cast<unsigned char>(bits >> shift));
    }
    return bytes;
}

/// Overwrites the bytes of `buffer` that begin at `offset` with those of `value`: for a length or a
/// checksum that is known only after the rest has been written.
///
/// @throws std::out_of_range if they are not all within `buffer`, or as pack() does; `buffer` is
/// unchanged then.
template <packable_integer T>
constexpr void pack_into(std::span<char> buffer, std::size_t offset, packable_integer auto value,
                         std::endian order = std::endian::big) {
    if (offset > buffer.size() || buffer.size() - offset < sizeof(T)) {
        throw std::out_of_range("pack_into: the integer does not end within the buffer");
    }
    const std::array<char, sizeof(T)> bytes = pack<T>(value, order);
    for (std::size_t i = 0; i < sizeof(T); ++i) buffer[offset + i] = bytes[i];
}

/// The integer whose bytes begin at `offset`.
///
/// @throws std::out_of_range if they are not all within `bytes`.
template <packable_integer T>
constexpr T unpack_from(std::string_view bytes, std::size_t offset,
                        std::endian order = std::endian::big) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
        throw std::out_of_range("unpack_from: the integer does not end within the bytes");
    }
    using Bits = std::make_unsigned_t<T>;
    Bits bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        const std::size_t shift = 8 * (order == std::endian::little ? i : sizeof(T) - 1 - i);
        const auto byte = static_cast<unsigned char>(bytes[offset + i]);
        bits = static_cast<Bits>(bits | static_cast<Bits>(static_cast<Bits>(byte) << shift));
    }
    return static_cast<T>(bits);
}

/// The integer whose bytes are exactly `bytes`.
///
/// @throws std::out_of_range unless `bytes` is as long as a `T`.
template <packable_integer T>
constexpr T unpack(std::string_view bytes, std::endian order = std::endian::big) {
    if (bytes.size() != sizeof(T)) {
        throw std::out_of_range("unpack: there are not as many bytes as the integer has");
    }
    return unpack_from<T>(bytes, 0, order);
}

}  // namespace socketserver
