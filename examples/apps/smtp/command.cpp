// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <algorithm>
#include <cstddef>

namespace smtp {

namespace {

constexpr std::size_t longest_mailbox = 254;  // RFC 5321, 4.5.3.1.3, without "<>"

std::string upper(std::string_view text) {
    std::string result{text};
    std::ranges::transform(result, result.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    return result;
}

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

/// Where the '>' of a path is, which may also stand between quotes.
std::size_t end_of_path(std::string_view text) {
    bool is_quoted = false;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') is_quoted = !is_quoted;
        if (text[i] == '>' && !is_quoted) return i;
        if (text[i] == '\\' && is_quoted) ++i;  // what it stands before means nothing
    }
    return std::string_view::npos;
}

/// Nothing that could be a line of its own, or hide something, where the mail is read.
bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

Command parse_command(std::string_view line) {
    const std::size_t end = std::min(line.find(' '), line.size());
    return {.verb = upper(line.substr(0, end)), .argument = trimmed(line.substr(end))};
}

std::optional<Path> parse_path(std::string_view argument, std::string_view keyword) {
    if (upper(argument.substr(0, keyword.size())) != keyword) return {};
    const std::string_view text = trimmed(argument.substr(keyword.size()));
    if (!text.starts_with('<') || !is_printable(text)) return {};
    const std::size_t end = end_of_path(text);
    if (end == std::string_view::npos) return {};
    std::string_view mailbox = text.substr(1, end - 1);
    if (mailbox.starts_with('@')) {  // a route, which is passed over (appendix C)
        mailbox.remove_prefix(std::min(mailbox.find(':'), mailbox.size() - 1) + 1);
    }
    if (mailbox.size() > longest_mailbox) return {};
    std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ' ') return {};
    Path path{.mailbox = std::string{mailbox}, .parameters = {}};
    for (rest = trimmed(rest); !rest.empty();) {
        const std::string_view word = rest.substr(0, rest.find(' '));
        const std::size_t equals = std::min(word.find('='), word.size());
        path.parameters.emplace_back(upper(word.substr(0, equals)),
                                     word.substr(std::min(equals + 1, word.size())));
        rest = trimmed(rest.substr(word.size()));
    }
    return path;
}

}  // namespace smtp
