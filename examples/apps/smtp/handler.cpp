// SPDX-License-Identifier: MIT
#include "handler.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <socketserver/fiber.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <system_error>

#include "command.hpp"

namespace smtp {

namespace {

constexpr std::size_t longest_command = 1024;  // RFC 5321 has 512, extensions make it longer
constexpr std::size_t longest_line = 8192;     // of a mail; RFC 5321 has 1000
constexpr int most_refusals = 20;              // of one client

std::string date() {
    return fmt::format("{:%a, %d %b %Y %H:%M:%S} +0000", fmt::gmtime(std::time(nullptr)));
}

std::optional<std::uint64_t> number_of(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return {};
    return number;
}

/// What the client calls itself, without what would be a comment, or a line, in a header.
std::string harmless(std::string_view text) {
    std::string result{text.substr(0, 255)};
    const auto is_special = [](char c) {
        return c <= ' ' || c > '~' || c == '(' || c == ')' || c == ';';
    };
    std::ranges::replace_if(result, is_special, '?');
    return result;
}

}  // namespace

Handler::Next Handler::reply(std::string_view answer) {
    wfile().print("{}\r\n", answer);
    return Next::command;
}

/// A client that is always refused is none.
Handler::Next Handler::refuse(std::string_view answer) {
    if (++refusals_ <= most_refusals) return reply(answer);
    reply("421 too many errors");
    return Next::end;
}

void Handler::handle() {
    reply(fmt::format("220 {} ESMTP", site_.host));
    try {
        while (serve_command() == Next::command) continue;
    } catch (const ss::IdleTimeout&) {
        reply("421 it took too long");
    }
}

Handler::Next Handler::serve_command() {
    std::string_view line;
    try {
        line = rfile().readline(longest_command);
    } catch (const ss::LineTooLong&) {
        reply("500 the line is too long");
        return Next::end;
    }
    if (!line.ends_with('\n')) {  // the client goes, or the server is being stopped
        reply("421 the connection ends");
        return Next::end;
    }
    if (!line.ends_with("\r\n")) return refuse("500 a line ends with CR LF");
    const std::string text{line.substr(0, line.size() - 2)};
    const Command command = parse_command(text);
    return dispatch(command.verb, command.argument);
}

Handler::Next Handler::dispatch(std::string_view verb, std::string_view argument) {
    if (verb == "QUIT") {
        reply("221 bye");
        return Next::end;
    }
    if (verb == "EHLO") return say_hello(argument, true);
    if (verb == "HELO") return say_hello(argument, false);
    if (verb == "NOOP") return reply("250 ok");
    if (verb == "STARTTLS") return begin_tls(argument);
    if (site_.needs_tls && !is_tls(connection())) return refuse("530 first STARTTLS");
    if (verb == "MAIL") return take_sender(argument);
    if (verb == "RCPT") return take_recipient(argument);
    if (verb == "DATA") return take_mail();
    if (verb == "VRFY") return reply("252 send it, and see");
    if (verb != "RSET") return refuse("500 unknown command");
    transaction_ = {};
    return reply("250 ok");
}

Handler::Next Handler::say_hello(std::string_view client, bool is_extended) {
    if (client.empty()) return refuse("501 who are you?");
    client_ = harmless(client);
    is_extended_ = is_extended;
    transaction_ = {};
    if (!is_extended) return reply("250 " + site_.host);
    wfile().print("250-{}\r\n250-PIPELINING\r\n250-8BITMIME\r\n", site_.host);
    if (site_.tls && !is_tls(connection())) wfile().write("250-STARTTLS\r\n");
    return reply(fmt::format("250 SIZE {}", site_.most_of_mail));
}

// [starttls]
Handler::Next Handler::begin_tls(std::string_view argument) {
    if (!argument.empty()) return refuse("501 STARTTLS takes no argument");
    if (!site_.tls) return refuse("502 there is no certificate");
    if (is_tls(connection())) return refuse("503 this is TLS");
    reply("220 go ahead");
    start_tls(connection(), rfile(), *site_.tls);  // refuses what came behind the command
    client_.clear();                               // what was said before counts no more
    transaction_ = {};
    return Next::command;
}
// [starttls]

Handler::Next Handler::take_sender(std::string_view argument) {
    if (client_.empty()) return refuse("503 first EHLO");
    if (transaction_.sender) return refuse("503 there is a sender");
    const auto path = parse_path(argument, "FROM:");
    if (!path) return refuse("501 MAIL FROM:<address>");
    for (const auto& [name, value] : path->parameters) {
        if (is_extended_ && name == "BODY" && (value == "7BIT" || value == "8BITMIME")) continue;
        const auto size = number_of(value);
        if (!is_extended_ || name != "SIZE" || !size) return refuse("555 unknown parameter");
        if (*size > site_.most_of_mail) return refuse("552 the mail is too large");
    }
    transaction_.sender = path->mailbox;
    return reply("250 ok");
}

Handler::Next Handler::take_recipient(std::string_view argument) {
    if (!transaction_.sender) return refuse("503 first MAIL");
    const auto path = parse_path(argument, "TO:");
    if (!path || path->mailbox.empty()) return refuse("501 RCPT TO:<address>");
    if (!path->parameters.empty()) return refuse("555 unknown parameter");
    if (transaction_.recipients.size() >= site_.most_recipients) {
        return reply("452 too many recipients");  // the client sends them the mail by another one
    }
    transaction_.recipients.push_back(path->mailbox);
    return reply("250 ok");
}

Handler::Next Handler::take_mail() {
    if (!transaction_.sender) return refuse("503 first MAIL");
    if (transaction_.recipients.empty()) return refuse("554 there is no recipient");
    reply("354 end with a dot");
    Content content;
    store(content, [&] { content.mail.emplace(site_.maildir).write(trace()); });
    if (!read_content(content)) return Next::end;
    // Other fibers go on while the disk works.
    store(content, [&] { ss::run_blocking([&] { content.mail->deliver(); }); });
    transaction_ = {};
    return content.refusal.empty() ? reply("250 it is kept") : refuse(content.refusal);
}

/// Works on the file of a mail, unless that has been refused. A mail that cannot be stored is
/// refused, and the connection goes on.
template <class Work>
void Handler::store(Content& content, Work work) {
    if (!content.refusal.empty()) return;
    try {
        work();
    } catch (const std::system_error& error) {
        fmt::print(stderr, "{}\n", error.what());
        content.refusal = "452 it cannot be kept";
    }
}

/// Reads up to the line with the dot, also of a mail that is refused. Only CR LF ends a line: who
/// took another end for one would see mails where the server before him sees text (smuggling).
/// False: the client has gone.
bool Handler::read_content(Content& content) {
    char last = '\n';  // of what came before
    for (bool is_begin = true;;) {
        std::string_view part = read_part();
        if (part.empty()) return false;
        if (is_begin && part == ".\r\n") return true;
        if (is_begin && part.front() == '.') part.remove_prefix(1);
        const bool is_whole = part.ends_with("\r\n") || (part == "\n" && last == '\r');
        if (is_whole) part.remove_suffix(part.size() >= 2 ? 2 : 1);
        if (part.find_first_of("\r\n") != std::string_view::npos) {
            content.refusal = "550 a line ends with CR LF";
        }
        last = part.empty() ? '\n' : part.back();
        add(content, part);
        if (is_whole) add(content, "\n");
        is_begin = is_whole;
    }
}

void Handler::add(Content& content, std::string_view text) {
    content.size += text.size();
    if (content.size > site_.most_of_mail) content.refusal = "552 the mail is too large";
    if (text.size() >= longest_line) content.refusal = "554 a line is too long";
    store(content, [&] { content.mail->write(text); });
}

/// A line with its end, or a part of one that is longer than it may be.
std::string_view Handler::read_part() {
    try {
        return rfile().readline(longest_line);
    } catch (const ss::LineTooLong&) {
        part_ = rfile().read1(longest_line);
        return part_;
    }
}

/// What RFC 5321, 4.4 wants above a mail, and whom it was for.
std::string Handler::trace() const {
    std::string lines = fmt::format("Return-Path: <{}>\n", *transaction_.sender);
    for (const std::string& each : transaction_.recipients) {
        lines += fmt::format("X-Original-To: {}\n", each);
    }
    const char* const protocol = is_tls(connection()) ? "ESMTPS" : is_extended_ ? "ESMTP" : "SMTP";
    return lines + fmt::format("Received: from {} ({})\n\tby {} with {};\n\t{}\n", client_,
                               client_address(), site_.host, protocol, date());
}

}  // namespace smtp
