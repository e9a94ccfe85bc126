// SPDX-License-Identifier: MIT
// What a client of SMTP says: RFC 5321, 4.1.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace smtp {

struct Command {
    std::string verb;           ///< in capitals
    std::string_view argument;  ///< what follows, without spaces around it
};

Command parse_command(std::string_view line);

/// The argument of MAIL and RCPT.
struct Path {
    std::string mailbox;                                          ///< empty: "<>"
    std::vector<std::pair<std::string, std::string>> parameters;  ///< names in capitals
};

/// @param keyword what stands before the mailbox, "FROM:" or "TO:".
/// @return nothing if it is no such argument.
std::optional<Path> parse_path(std::string_view argument, std::string_view keyword);

}  // namespace smtp
