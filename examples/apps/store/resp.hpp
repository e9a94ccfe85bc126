// SPDX-License-Identifier: MIT
// RESP2, the protocol of Redis: https://redis.io/docs/reference/protocol-spec/
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace store {

/// A command and its arguments. Views into what was received.
using Args = std::span<const std::string_view>;

struct ProtocolError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Takes the next command from the front of `input`, into `args`; returns how many bytes it has, 0
/// if some are missing. A line without '*' is a command in words, as telnet sends it. An empty
/// command has bytes and no arguments.
///
/// @throws ProtocolError if this is no command, or a longer one than `longest`.
std::size_t parse_command(std::string_view input, std::vector<std::string_view>& args,
                          std::size_t longest);

/// A whole text as a decimal number.
std::optional<std::int64_t> parse_integer(std::string_view text);

// Replies, appended to `out`.
void append_simple(std::string& out, std::string_view text);
void append_error(std::string& out, std::string_view text);
void append_integer(std::string& out, std::int64_t value);
void append_bulk(std::string& out, std::string_view text);
void append_null(std::string& out);
void append_array(std::string& out, std::size_t size);  ///< its members follow
/// A command as it is received, for the journal.
void append_command(std::string& out, Args args);

}  // namespace store
