// SPDX-License-Identifier: MIT
#include "packet.hpp"

#include <socketserver/integers.hpp>

#include <algorithm>

namespace tftp {

namespace {

namespace ss = socketserver;

constexpr std::size_t number_size = sizeof(std::uint16_t);

std::string of_numbers(Opcode opcode) {
    const auto bytes = ss::pack<std::uint16_t>(static_cast<std::uint16_t>(opcode));
    return {bytes.begin(), bytes.end()};
}

std::string of_numbers(Opcode opcode, std::uint16_t number) {
    const auto bytes = ss::pack<std::uint16_t>(number);
    return of_numbers(opcode).append(bytes.begin(), bytes.end());
}

std::string lower(std::string_view text) {
    std::string result{text};
    std::ranges::transform(result, result.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return result;
}

/// The texts of a request, each of which ends by a zero.
std::vector<std::string_view> texts_of(std::string_view body) {
    std::vector<std::string_view> texts;
    while (!body.empty()) {
        const std::size_t end = body.find('\0');
        if (end == std::string_view::npos) {
            throw Refusal{ErrorCode::illegal_operation, "a text without an end"};
        }
        texts.push_back(body.substr(0, end));
        body.remove_prefix(end + 1);
    }
    return texts;
}

}  // namespace

std::optional<Request> parse_request(std::string_view packet) {
    if (packet.size() < number_size) return {};
    const Opcode opcode{ss::unpack_from<std::uint16_t>(packet, 0)};
    if (opcode != Opcode::read_request && opcode != Opcode::write_request) return {};
    const std::vector<std::string_view> texts = texts_of(packet.substr(number_size));
    if (texts.size() < 2 || texts.size() % 2 != 0 || texts[0].empty()) {
        throw Refusal{ErrorCode::illegal_operation, "a request has a name, a mode, and options"};
    }
    const std::string mode = lower(texts[1]);
    if (mode != "octet" && mode != "netascii") {
        throw Refusal{ErrorCode::illegal_operation, "the mode is neither octet nor netascii"};
    }
    Request request{.is_write = opcode == Opcode::write_request,
                    .name = std::string{texts[0]},
                    .is_netascii = mode == "netascii",
                    .options = {}};
    for (std::size_t i = 2; i < texts.size(); i += 2) {
        request.options.emplace_back(lower(texts[i]), std::string{texts[i + 1]});
    }
    return request;
}

std::optional<Numbered> parse_numbered(std::string_view packet) {
    if (packet.size() < 2 * number_size) return {};
    const Opcode opcode{ss::unpack_from<std::uint16_t>(packet, 0)};
    if (opcode != Opcode::data && opcode != Opcode::ack) return {};
    return Numbered{.opcode = opcode,
                    .number = ss::unpack_from<std::uint16_t>(packet, number_size),
                    .data = packet.substr(2 * number_size)};
}

std::string data_packet(std::uint16_t number, std::string_view data) {
    return of_numbers(Opcode::data, number).append(data);
}

std::string ack_packet(std::uint16_t number) { return of_numbers(Opcode::ack, number); }

std::string error_packet(ErrorCode code, std::string_view text) {
    std::string packet = of_numbers(Opcode::error, static_cast<std::uint16_t>(code)).append(text);
    packet.push_back('\0');
    return packet;
}

std::string option_ack_packet(const Options& options) {
    std::string packet = of_numbers(Opcode::option_ack);
    for (const auto& [name, value] : options) {
        packet.append(name).push_back('\0');
        packet.append(value).push_back('\0');
    }
    return packet;
}

}  // namespace tftp
