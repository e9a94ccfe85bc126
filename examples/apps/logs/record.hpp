// SPDX-License-Identifier: MIT
// A message of syslog, as RFC 5424 or RFC 3164 writes it.
#pragma once

#include <string>
#include <string_view>

namespace logs {

/// Views into the message.
struct Record {
    int priority = 13;  ///< facility * 8 + severity; user.notice if the message says none
    std::string_view time, host, application, process;
    std::string_view structured_data;  ///< of RFC 5424, with its brackets
    std::string_view text;
};

/// Never fails: what is not in one of the two forms is text.
Record parse(std::string_view message);

/// One line for the file: time, host, facility.severity, application[process]: text. Control
/// characters are written as #012 and the like, so a message is never two lines.
std::string line_of(const Record& record);

}  // namespace logs
