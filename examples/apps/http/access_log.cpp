// SPDX-License-Identifier: MIT
#include "access_log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <iterator>
#include <system_error>

namespace http {

namespace {

/// "[30/Nov/2026:10:00:00 +0000]", put together once a second.
std::string_view local_time() {
    thread_local std::time_t second = 0;
    thread_local std::string text;
    if (const std::time_t now = std::time(nullptr); now != second) {
        std::tm local{};
        ::localtime_r(&now, &local);
        std::array<char, 40> buffer{};
        text.assign(buffer.data(),
                    std::strftime(buffer.data(), buffer.size(), "[%d/%b/%Y:%T %z]", &local));
        second = now;
    }
    return text;
}

}  // namespace

AccessLog::AccessLog(const std::string& path) {
    if (path.empty()) return;
    file_ = apps::File{path == "-" ? ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                                   : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                                            S_IRUSR | S_IWUSR | S_IRGRP)};
    if (!file_) throw std::system_error{errno, std::generic_category(), path};
}

void AccessLog::write(std::string_view host, std::string_view request, int status,
                      std::uint64_t size) {
    if (!file_) return;
    fmt::memory_buffer line;
    line.append(host);
    line.append(std::string_view{" - - "});
    line.append(local_time());
    line.append(std::string_view{" \""});
    for (const char c : request) {  // nobody writes lines of his own into the log
        if (const auto byte = static_cast<unsigned char>(c);
            byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
            fmt::format_to(std::back_inserter(line), "\\x{:02x}", byte);
        } else {
            line.push_back(c);
        }
    }
    fmt::format_to(std::back_inserter(line), "\" {} {}\n", status, size);
    // A full disk is no reason to serve nobody.
    [[maybe_unused]] const ssize_t written = ::write(file_.fileno(), line.data(), line.size());
}

}  // namespace http
