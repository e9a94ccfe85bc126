// SPDX-License-Identifier: MIT
#include "resp.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace store {

namespace {

constexpr std::size_t most_args = 1 << 20;
constexpr std::size_t longest_line = 64 * 1024;

/// Reads "<mark><number>\r\n" at `at` and moves behind it. False: some of it is missing.
bool take_number(std::string_view input, std::size_t& at, std::size_t most, std::size_t& number) {
    const char* const begin = input.data() + at + 1;
    const char* const end = input.data() + input.size();
    const char* p = begin;
    number = 0;
    while (p < end && *p >= '0' && *p <= '9') {
        number = number * 10 + static_cast<std::size_t>(*p++ - '0');
        if (number > most) throw ProtocolError{"a length that is too large"};
    }
    if (p == end || (p + 1 == end && *p == '\r')) return false;
    if (p == begin || *p != '\r' || p[1] != '\n') throw ProtocolError{"a length is expected"};
    at = static_cast<std::size_t>(p + 2 - input.data());
    return true;
}

std::size_t parse_words(std::string_view input, std::vector<std::string_view>& args) {
    const std::size_t end = input.find('\n');
    if (end == std::string_view::npos) {
        if (input.size() > longest_line) throw ProtocolError{"too big inline request"};
        return 0;
    }
    constexpr std::string_view spaces = " \t\r";
    std::string_view line = input.substr(0, end);
    for (;;) {
        line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
        if (line.empty()) return end + 1;
        const std::size_t size = std::min(line.find_first_of(spaces), line.size());
        args.push_back(line.substr(0, size));
        line.remove_prefix(size);
    }
}

void append_number(std::string& out, char mark, std::int64_t number) {
    std::array<char, 24> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    out += mark;
    out.append(text.data(), end);
    out += "\r\n";
}

}  // namespace

std::size_t parse_command(std::string_view input, std::vector<std::string_view>& args,
                          std::size_t longest) {
    args.clear();
    if (input.empty()) return 0;
    if (input.front() != '*') return parse_words(input, args);
    std::size_t at = 0, count = 0, sum = 0;
    if (!take_number(input, at, most_args, count)) return 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (at == input.size()) return 0;
        if (input[at] != '$') throw ProtocolError{"'$' is expected"};
        std::size_t size = 0;
        if (!take_number(input, at, longest, size)) return 0;
        if ((sum += size) > longest) throw ProtocolError{"a command that is too large"};
        if (input.size() - at < size + 2) return 0;
        if (input[at + size] != '\r' || input[at + size + 1] != '\n') {
            throw ProtocolError{"an argument that is longer than it says"};
        }
        args.push_back(input.substr(at, size));
        at += size + 2;
    }
    return at;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

void append_simple(std::string& out, std::string_view text) {
    out += '+';
    out += text;
    out += "\r\n";
}

void append_error(std::string& out, std::string_view text) {
    out += '-';
    out += text;
    out += "\r\n";
}

void append_integer(std::string& out, std::int64_t value) { append_number(out, ':', value); }

void append_bulk(std::string& out, std::string_view text) {
    append_number(out, '$', static_cast<std::int64_t>(text.size()));
    out += text;
    out += "\r\n";
}

void append_null(std::string& out) { out += "$-1\r\n"; }

void append_array(std::string& out, std::size_t size) {
    append_number(out, '*', static_cast<std::int64_t>(size));
}

void append_command(std::string& out, Args args) {
    append_array(out, args.size());
    for (const std::string_view each : args) append_bulk(out, each);
}

}  // namespace store
