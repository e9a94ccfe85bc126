// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace load {

// The lines that a connection sends in one turn. They are a pure function of the connection and of
// the turn, so that replies can be checked without keeping what was sent: ten thousand connections
// with lines of 16 KiB need one buffer. Lines differ between connections and between turns, so that
// a reply that went astray is noticed.
class Lines {
  public:
    Lines(std::size_t length, std::size_t pipeline) : length_{length} {
        for (std::size_t i = 0; i < pipeline; ++i) {
            bytes_.append(length - 1, 'x').push_back('\n');
        }
    }

    // Valid until the next call.
    std::string_view batch(std::uint32_t connection, std::uint32_t turn) {
        std::uint64_t mark = (std::uint64_t{turn} << 32 | connection) * 0x9E3779B97F4A7C15U;
        const std::size_t digits = std::min<std::size_t>(length_ - 1, 16);
        for (std::size_t line = 0; line < bytes_.size(); line += length_, ++mark) {
            for (std::size_t i = 0; i < digits; ++i) {
                bytes_[line + i] = static_cast<char>('a' + (mark >> (60 - 4 * i) & 15));
            }
        }
        return bytes_;
    }

    std::size_t size() const { return bytes_.size(); }

  private:
    std::size_t length_;
    std::string bytes_;
};

}  // namespace load
