// SPDX-License-Identifier: MIT
#include "record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>

namespace logs {

namespace {

constexpr std::array<std::string_view, 8> severities{"emerg",   "alert",  "crit", "err",
                                                     "warning", "notice", "info", "debug"};
constexpr std::array<std::string_view, 24> facilities{
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog",   "lpr",     "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "security", "console", "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5",   "local6",  "local7"};

/// The next word; "-" stands for nothing.
std::string_view take_word(std::string_view& text) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word == "-" ? std::string_view{} : word;
}

/// [id name="value" ...][...], in which a quoted ']' or '"' has a backslash before it.
std::string_view take_structured_data(std::string_view& text) {
    if (!text.starts_with('[')) {
        take_word(text);
        return {};
    }
    bool is_quoted = false;
    std::size_t end = 0;
    for (; end < text.size(); ++end) {
        const char c = text[end];
        if (is_quoted && c == '\\') {
            ++end;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && c == ' ' && text[end - 1] == ']') {
            break;
        }
    }
    end = std::min(end, text.size());
    const std::string_view data = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return data;
}

/// Whether a text begins with "Nov 30 10:00:00 ".
bool has_old_time(std::string_view text) {
    constexpr std::string_view form = "Aaa dd dd:dd:dd ";
    return text.size() >= form.size() &&
           std::equal(form.begin(), form.end(), text.begin(), [](char kind, char c) {
               const auto byte = static_cast<unsigned char>(c);
               if (kind == 'A') return std::isupper(byte) != 0;
               if (kind == 'a') return std::islower(byte) != 0;
               if (kind == 'd') return std::isdigit(byte) != 0 || c == ' ';
               return kind == c;
           });
}

void append_visibly(std::string& line, std::string_view text) {
    for (const char c : text) {
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
            fmt::format_to(std::back_inserter(line), "#{:03o}", byte);
        } else {
            line += c;
        }
    }
}

}  // namespace

Record parse(std::string_view message) {
    while (!message.empty() && (message.back() == '\n' || message.back() == '\0')) {
        message.remove_suffix(1);
    }
    Record record;
    record.text = message;
    const std::size_t end = message.find('>');
    int priority = 0;
    if (!message.starts_with('<') || end == std::string_view::npos) return record;
    const auto [last, error] = std::from_chars(message.data() + 1, message.data() + end, priority);
    if (error != std::errc{} || last != message.data() + end || end > 4 || priority < 0 ||
        priority >= static_cast<int>(facilities.size() * 8)) {
        return record;
    }
    record.priority = priority;
    std::string_view rest = message.substr(end + 1);
    if (rest.starts_with("1 ")) {
        rest.remove_prefix(2);
        record.time = take_word(rest);
        record.host = take_word(rest);
        record.application = take_word(rest);
        record.process = take_word(rest);
        take_word(rest);  // the kind of message
        record.structured_data = take_structured_data(rest);
        if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // says that it is UTF-8
        record.text = rest;
        return record;
    }
    if (has_old_time(rest)) {
        record.time = rest.substr(0, 15);
        rest.remove_prefix(16);
        // A local socket leaves the host out: then the next word is the tag, which ends with ':'.
        const std::string_view word = rest.substr(0, rest.find(' '));
        if (!word.ends_with(':') && word.size() < rest.size()) record.host = take_word(rest);
    }
    // "name[123]: text" or "name: text"
    const std::size_t tag = rest.find_first_of(":[ ");
    if (tag != std::string_view::npos && tag > 0 && rest[tag] != ' ') {
        const std::size_t colon = rest[tag] == ':' ? tag : rest.find("]:", tag);
        if (colon != std::string_view::npos) {
            record.application = rest.substr(0, tag);
            if (rest[tag] == '[') record.process = rest.substr(tag + 1, colon - tag - 1);
            rest.remove_prefix(colon + (rest[tag] == '[' ? 2 : 1));
            if (rest.starts_with(' ')) rest.remove_prefix(1);
        }
    }
    record.text = rest;
    return record;
}

std::string line_of(const Record& record) {
    std::string line;
    const auto word = [&](std::string_view text) {
        append_visibly(line, text.empty() ? "-" : text);
        line += ' ';
    };
    word(record.time);
    word(record.host);
    const auto priority = static_cast<std::size_t>(record.priority);
    line += facilities[priority / 8];
    line += '.';
    line += severities[priority % 8];
    line += ' ';
    append_visibly(line, record.application.empty() ? "-" : record.application);
    if (!record.process.empty()) {
        line += '[';
        append_visibly(line, record.process);
        line += ']';
    }
    line += ": ";
    if (!record.structured_data.empty()) word(record.structured_data);
    append_visibly(line, record.text);
    line += '\n';
    return line;
}

}  // namespace logs
