// SPDX-License-Identifier: MIT
#include "terms.hpp"

#include <algorithm>
#include <charconv>

namespace tftp {

namespace {

constexpr std::size_t most_of_window = 64;
constexpr std::size_t most_of_window_in_bytes =
    256 * 1024;  // which the server keeps until they are there

/// The value of an option, if it is a number that the RFC allows. An option of another value is
/// passed over, as one that is not known.
std::optional<std::uint64_t> number_of(const Options& options, std::string_view name,
                                       std::uint64_t least, std::uint64_t most) {
    const auto found = std::ranges::find(options, name, &Options::value_type::first);
    if (found == options.end()) return {};
    const char* const begin = found->second.data();
    const char* const end = begin + found->second.size();
    std::uint64_t number = 0;
    const auto [parsed, error] = std::from_chars(begin, end, number);
    if (error != std::errc{} || parsed != end || number < least || number > most) return {};
    return number;
}

std::uint64_t transfer_size(const Request& request, const Rules& rules, std::uint64_t asked,
                            std::optional<std::uint64_t> size) {
    if (!request.is_write) return size.value_or(asked);
    if (asked > rules.most_of_file) throw Refusal{ErrorCode::disk_full, "the file is too large"};
    return asked;
}

}  // namespace

Terms agree(const Request& request, const Rules& rules, std::optional<std::uint64_t> size) {
    Terms terms{.timeout = rules.timeout, .accepted = {}};
    const auto accept = [&](const char* name, std::uint64_t value) {
        terms.accepted.emplace_back(name, std::to_string(value));
    };
    if (const auto asked = number_of(request.options, "blksize", 8, 65464)) {
        terms.block_size = std::min<std::size_t>(*asked, rules.most_of_block);
        accept("blksize", terms.block_size);
    }
    if (const auto asked = number_of(request.options, "timeout", 1, 255)) {
        terms.timeout = std::chrono::seconds{*asked};
        accept("timeout", *asked);
    }
    if (const auto asked = number_of(request.options, "tsize", 0, UINT64_MAX);
        asked && (request.is_write || size)) {
        accept("tsize", transfer_size(request, rules, *asked, size));
    }
    if (const auto asked = number_of(request.options, "windowsize", 1, 65535)) {
        const std::size_t most =
            std::clamp<std::size_t>(most_of_window_in_bytes / terms.block_size, 1, most_of_window);
        terms.window = std::min<std::size_t>(*asked, most);
        accept("windowsize", terms.window);
    }
    return terms;
}

}  // namespace tftp
