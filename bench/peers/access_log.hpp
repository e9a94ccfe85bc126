// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <ctime>
#include <string>

/// Now, as it stands in an access log.
inline std::string log_time() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    localtime_r(&now, &parts);
    std::array<char, 64> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%d/%b/%Y:%H:%M:%S %z", &parts)};
}
