// SPDX-License-Identifier: MIT
// The packets of TFTP: RFC 1350, and RFC 2347 for the options.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tftp {

enum class Opcode : std::uint16_t {
    read_request = 1,
    write_request = 2,
    data = 3,
    ack = 4,
    error = 5,
    option_ack = 6,
};

enum class ErrorCode : std::uint16_t {
    undefined = 0,
    not_found = 1,
    access_violation = 2,
    disk_full = 3,
    illegal_operation = 4,
    exists = 6,
};

/// What the client is told by an error packet, which ends the transfer.
struct Refusal : std::runtime_error {
    Refusal(ErrorCode error, const std::string& text) : std::runtime_error{text}, code{error} {}
    ErrorCode code;
};

/// Names, in lower case, and values.
using Options = std::vector<std::pair<std::string, std::string>>;

struct Request {
    bool is_write = false;
    std::string name;
    bool is_netascii = false;
    Options options;
};

/// What begins a transfer; nothing if it is another packet.
///
/// @throws Refusal if it is a request, but none that can be served.
std::optional<Request> parse_request(std::string_view packet);

/// A packet with a number, of data or an acknowledgement.
struct Numbered {
    Opcode opcode;
    std::uint16_t number;
    std::string_view data;  ///< into the packet
};

/// Nothing if it is another packet.
std::optional<Numbered> parse_numbered(std::string_view packet);

std::string data_packet(std::uint16_t number, std::string_view data);
std::string ack_packet(std::uint16_t number);
std::string error_packet(ErrorCode code, std::string_view text);
std::string option_ack_packet(const Options& options);

}  // namespace tftp
