// SPDX-License-Identifier: MIT
#include "handler.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <system_error>

#include "text.hpp"

namespace http {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view methods = "GET, HEAD, OPTIONS";
constexpr std::size_t longest_head = 8192;
constexpr std::size_t longest_line_of_chunk = 4096;
/// A file up to this size goes out together with the head of the answer.
constexpr std::uint64_t small_file = 16 * 1024;
/// A client has time for an answer as long as it takes so many bytes in a second.
constexpr std::uint64_t slowest_rate = 4096;

std::string_view folder_of(std::string_view target) {
    return target.substr(0, target.find_first_of("?#"));
}

}  // namespace

void Handler::setup() {
    StreamRequestHandler::setup();
    host_ = client_address().empty() ? "-" : client_address().host();
}

// [handle]
void Handler::handle() try {
    while (serve_request()) {
    }
} catch (const ss::IdleTimeout&) {
    // The client owes nothing; the connection ends without a word.
} catch (const BadRequest& error) {
    refuse(error.status, error.what());
} catch (const ss::LineTooLong&) {
    refuse(431, "Request Header Fields Too Large");
} catch (const ss::DeadlineExceeded&) {
    if (!is_reading_) throw;
    connection().set_deadline(std::chrono::steady_clock::now() + 1s);
    refuse(408, "Request Timeout");
}
// [handle]

bool Handler::serve_request() {
    const std::string_view text = read_head();
    if (text.empty()) return false;
    request_line_ = text.substr(0, text.find('\r'));
    RequestParser parser;
    const Head* head = &parser.parse_head(text, site_.most_of_body);
    RequestParser copied_parser;
    std::string copy;
    if (!parser.is_done()) {  // the views end with the next read
        copy = text;
        head = &copied_parser.parse_head(copy, site_.most_of_body);
        skip_body(copied_parser, head->expect);
    }
    is_reading_ = false;
    keep_alive_ = head->keep_alive && !server().is_draining();
    is_http_1_0_ = head->is_http_1_0;
    answer(*head);
    return keep_alive_;
}

/// Empty: the client has ended the connection between two requests.
std::string_view Handler::read_head() {
    for (;;) {
        is_reading_ = false;
        request_line_.clear();
        const std::string_view first = rfile().peek();
        if (first.empty()) return {};
        is_reading_ = true;
        if (!first.starts_with("\r\n")) break;
        (void)rfile().readline();  // an empty line before a request is passed over
    }
    // Who ends lines otherwise would never send what is waited for below.
    const std::string_view begin = rfile().peek();
    const std::size_t line = begin.find('\n');
    if (line != std::string_view::npos && (line == 0 || begin[line - 1] != '\r')) {
        throw BadRequest{400, "Bad Request"};
    }
    try {
        const std::string_view text = rfile().read_until("\r\n\r\n", longest_head);
        if (!text.ends_with("\r\n\r\n")) throw BadRequest{400, "Bad Request"};
        return text;
    } catch (const ss::LineTooLong&) {
        if (rfile().peek().find('\n') != std::string_view::npos) throw;
        throw BadRequest{414, "URI Too Long"};
    }
}

void Handler::skip_body(RequestParser& parser, std::string_view expect) {
    if (!expect.empty()) wfile().write("HTTP/1.1 100 Continue\r\n\r\n");
    std::string lines;  // of the framing of chunks, which the parser wants to see in one piece
    while (!parser.is_done()) {
        if (const std::uint64_t left = parser.raw_bytes_left(); left > 0) {
            const std::string part = rfile().read1(std::min<std::uint64_t>(left, 8192));
            if (part.empty()) throw BadRequest{400, "Bad Request"};
            parser.feed(part);
            continue;
        }
        const std::string_view line = rfile().readline(longest_line_of_chunk);
        if (line.empty()) throw BadRequest{400, "Bad Request"};
        lines += line;
        if (lines.size() > longest_head) throw BadRequest{431, "Request Header Fields Too Large"};
        lines.erase(0, parser.feed(lines));
    }
}

void Handler::answer(const Head& head) {
    if (head.method == "OPTIONS") return answer_options(head);
    if (head.method != "GET" && head.method != "HEAD") {
        const bool is_known = head.method == "POST" || head.method == "PUT" ||
                              head.method == "DELETE" || head.method == "PATCH" ||
                              head.method == "TRACE";
        return is_known ? answer_in_short(405, "Method Not Allowed")
                        : answer_in_short(501, "Not Implemented");
    }
    const bool with_body = head.method == "GET";
    std::optional<std::string> decoded = path_of(head.target);
    if (!decoded) return answer_in_short(400, "Bad Request", with_body);
    std::string path = std::move(*decoded);
    path.erase(0, path.find_first_not_of('/'));  // relative to the root

    apps::File file = site_.root.open(path);
    if (!file) {
        if (errno == EMFILE || errno == ENFILE) {
            return answer_in_short(503, "Service Unavailable", with_body);
        }
        if (errno == EACCES) return answer_in_short(403, "Forbidden", with_body);
        return answer_in_short(404, "Not Found", with_body);
    }
    struct stat status = file.status();
    if (S_ISDIR(status.st_mode)) {
        if (!path.empty() && !path.ends_with('/')) {
            const std::string_view folder = folder_of(head.target);
            begin(301, "Moved Permanently");
            // One slash only: "//name" would be the address of another server.
            field("Location",
                  fmt::format("/{}/{}", quote(path), head.target.substr(folder.size())));
            return end_head(0);
        }
        apps::File index = site_.root.open(path + "index.html");
        if (!index) return answer_with_listing(head, path, file);
        path += "index.html";
        status = index.status();
        file = std::move(index);
    }
    if (!S_ISREG(status.st_mode)) return answer_in_short(404, "Not Found", with_body);
    answer_with_file(head, path, std::move(file), status);
}

/// What may be asked is the same for everything that this server has, and for the server ("*").
void Handler::answer_options(const Head& head) {
    if (head.target != "*" && !path_of(head.target)) return answer_in_short(400, "Bad Request");
    begin(200, "OK");
    field("Allow", methods);
    end_head(0);
}

void Handler::answer_with_file(const Head& head, const std::string& path, apps::File file,
                               const struct stat& status) {
    struct stat sent = status;
    bool is_gzip = false;
    if (site_.gzip_static && takes_gzip(head.accept_encoding)) {
        if (apps::File packed = site_.root.open(path + ".gz"); packed) {
            if (const struct stat of_packed = packed.status(); S_ISREG(of_packed.st_mode)) {
                file = std::move(packed);
                sent = of_packed;
                is_gzip = true;
            }
        }
    }
    const auto size = static_cast<std::uint64_t>(sent.st_size);
    std::array<char, 48> tag_text{};
    const auto tag_end =
        fmt::format_to(tag_text.begin(), "\"{:x}-{:x}\"",
                       sent.st_mtim.tv_sec * 1'000'000'000 + sent.st_mtim.tv_nsec, size);
    const std::string_view tag{tag_text.data(),
                               static_cast<std::size_t>(tag_end - tag_text.begin())};

    // The order is that of RFC 9110, 13.2.2.
    const auto since = [](std::string_view text) { return parse_date(text); };
    bool is_failed = false, is_unchanged = false;
    if (!head.if_match.empty()) {
        is_failed = !has_tag(head.if_match, tag, false);
    } else if (!head.if_unmodified_since.empty()) {
        const auto date = since(head.if_unmodified_since);
        is_failed = date && sent.st_mtim.tv_sec > *date;
    }
    if (!head.if_none_match.empty()) {
        is_unchanged = has_tag(head.if_none_match, tag, true);
    } else if (!head.if_modified_since.empty()) {
        const auto date = since(head.if_modified_since);
        is_unchanged = date && sent.st_mtim.tv_sec <= *date;
    }
    const bool with_body = head.method == "GET";
    if (is_failed) return answer_in_short(412, "Precondition Failed", with_body);

    Range range{0, size - 1};
    RangeKind kind = RangeKind::all;
    if (with_body && !is_unchanged && !head.range.empty()) {
        const bool is_current =
            head.if_range.empty() || head.if_range == tag ||
            (!head.if_range.starts_with('"') && since(head.if_range) == sent.st_mtim.tv_sec);
        if (is_current) kind = parse_range(head.range, size, range);
    }
    if (is_unchanged) {
        begin(304, "Not Modified");
    } else if (kind == RangeKind::unsatisfiable) {
        begin(416, "Range Not Satisfiable");
        field("Content-Range", fmt::format("bytes */{}", size));
        return end_head(0);
    } else if (kind == RangeKind::part) {
        begin(206, "Partial Content");
        field("Content-Range", fmt::format("bytes {}-{}/{}", range.first, range.last, size));
    } else {
        begin(200, "OK");
    }
    // A file may say that it was changed in the future, a server must not: RFC 9110, 8.8.2.1.
    field("Last-Modified", date_text(std::min(sent.st_mtim.tv_sec, std::time(nullptr))));
    field("ETag", tag);
    if (site_.gzip_static) field("Vary", "Accept-Encoding");
    if (is_unchanged) {
        reply_ += "\r\n";
        site_.log.write(host_, request_line_, 304, 0);
        wfile().write(reply_);
        return;
    }
    field("Content-Type", site_.types.type_of(path));
    if (is_gzip) field("Content-Encoding", "gzip");
    field("Accept-Ranges", "bytes");
    const std::uint64_t count = kind == RangeKind::part ? range.last - range.first + 1 : size;
    fmt::format_to(std::back_inserter(reply_), "Content-Length: {}\r\n\r\n", count);
    site_.log.write(host_, request_line_, kind == RangeKind::part ? 206 : 200,
                    with_body ? count : 0);
    if (!with_body || count == 0) {
        wfile().write(reply_);
        return;
    }
    const std::size_t first = kind == RangeKind::part ? range.first : 0;
    if (count <= small_file) {
        const std::size_t head_size = reply_.size();
        reply_.resize(head_size + count);
        const ssize_t got =
            ::pread(file.fileno(), reply_.data() + head_size, count, static_cast<off_t>(first));
        // A file that has become shorter: the client must not take what follows for its content.
        if (got != static_cast<ssize_t>(count)) keep_alive_ = false;
        reply_.resize(head_size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        wfile().write(reply_);
        return;
    }
    wfile().write(reply_);
    // [deadline]
    // The request has come in time; the answer may take as long as its size says.
    if (site_.request_timeout) {
        connection().set_deadline(std::chrono::steady_clock::now() + *site_.request_timeout +
                                  std::chrono::seconds{count / slowest_rate});
    }
    // [deadline]
    if (connection().sendfile(file.fileno(), first, count) != count) keep_alive_ = false;
}

void Handler::answer_with_listing(const Head& head, const std::string& path,
                                  const apps::File& folder) {
    const std::string title = escape_html("/" + path);
    std::string page = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head>"
        "<body>\n<h1>Directory listing for {0}</h1>\n<hr>\n<ul>\n",
        title);
    for (const std::string& name : names_in(folder)) {
        page += fmt::format("<li><a href=\"{}\">{}</a></li>\n", quote(name), escape_html(name));
    }
    page += "</ul>\n<hr>\n</body></html>\n";
    begin(200, "OK");
    field("Content-Type", "text/html; charset=utf-8");
    const bool with_body = head.method == "GET";
    fmt::format_to(std::back_inserter(reply_), "Content-Length: {}\r\n\r\n", page.size());
    if (with_body) reply_ += page;
    site_.log.write(host_, request_line_, 200, with_body ? page.size() : 0);
    wfile().write(reply_);
}

/// Begins an answer in reply_: its first line, and what every answer has.
void Handler::begin(int status, std::string_view reason) {
    reply_.clear();
    fmt::format_to(std::back_inserter(reply_), "HTTP/1.1 {} {}\r\n", status, reason);
    reply_ += "Server: socketserver\r\nDate: ";
    reply_ += date_now();
    reply_ += "\r\n";
    if (!keep_alive_) {
        reply_ += "Connection: close\r\n";
    } else if (is_http_1_0_) {
        reply_ += "Connection: keep-alive\r\n";
    }
}

void Handler::field(std::string_view name, std::string_view value) {
    reply_ += name;
    reply_ += ": ";
    reply_ += value;
    reply_ += "\r\n";
}

/// Ends and sends a head without a body.
void Handler::end_head(std::uint64_t size) {
    fmt::format_to(std::back_inserter(reply_), "Content-Length: {}\r\n\r\n", size);
    site_.log.write(host_, request_line_, std::stoi(reply_.substr(9, 3)), 0);
    wfile().write(reply_);
}

void Handler::answer_in_short(int status, std::string_view reason, bool with_body) {
    const std::string body = fmt::format("{} {}\n", status, reason);
    begin(status, reason);
    if (status == 405) field("Allow", methods);
    field("Content-Type", "text/plain");
    fmt::format_to(std::back_inserter(reply_), "Content-Length: {}\r\n\r\n", body.size());
    if (with_body) reply_ += body;
    site_.log.write(host_, request_line_, status, with_body ? body.size() : 0);
    wfile().write(reply_);
}

/// Answers a request that cannot be read to its end.
void Handler::refuse(int status, std::string_view reason) {
    if (request_line_.empty()) {
        const std::string_view begin = rfile().buffered() > 0 ? rfile().peek() : std::string_view{};
        request_line_ = begin.substr(0, std::min<std::size_t>(begin.find_first_of("\r\n"), 1024));
    }
    keep_alive_ = false;
    answer_in_short(status, reason);
}

}  // namespace http
