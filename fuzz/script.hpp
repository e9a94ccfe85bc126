// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace fuzz {

/// The bytes that say what happens, one after the other; zeros when they are used up.
class Script {
  public:
    explicit Script(std::string_view bytes) : bytes_{bytes} {}
    bool is_over() const { return bytes_.empty(); }
    std::size_t next() {
        if (bytes_.empty()) return 0;
        const auto byte = static_cast<unsigned char>(bytes_.front());
        bytes_.remove_prefix(1);
        return byte;
    }
    /// What has not been used up.
    std::string_view rest() const { return bytes_; }

  private:
    std::string_view bytes_;
};

}  // namespace fuzz
