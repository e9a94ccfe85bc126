// SPDX-License-Identifier: MIT
// Headers of the PROXY protocol, version 2, as the bytes that a proxy sends.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "socketserver/integers.hpp"

namespace socketserver::tests {

/// @param command 0x20 is LOCAL, 0x21 is PROXY.
/// @param family 0x11: IPv4 and TCP, 0x21: IPv6 and TCP, 0x31: Unix stream.
inline std::string proxy_v2(std::uint8_t command, std::uint8_t family, std::string_view rest) {
    std::string header{"\r\n\r\n\0\r\nQUIT\n", 12};
    header += static_cast<char>(command);
    header += static_cast<char>(family);
    const auto size = pack<std::uint16_t>(rest.size());
    header.append(size.data(), size.size());
    return header.append(rest);
}

inline std::string tlv(std::uint8_t type, std::string_view value) {
    std::string bytes(1, static_cast<char>(type));
    const auto size = pack<std::uint16_t>(value.size());
    bytes.append(size.data(), size.size());
    return bytes.append(value);
}

/// By a table, other than the library does it.
inline std::uint32_t crc32c_of(std::string_view data) {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit) {
            table[i] = (table[i] & 1U) != 0 ? 0x82f63b78U ^ (table[i] >> 1U) : table[i] >> 1U;
        }
    }
    std::uint32_t crc = 0xffffffffU;
    for (const char each : data) {
        crc = table[(crc ^ static_cast<unsigned char>(each)) & 0xffU] ^ (crc >> 8U);
    }
    return crc ^ 0xffffffffU;
}

}  // namespace socketserver::tests
