// SPDX-License-Identifier: MIT
#include "sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace logs {

Sink::Sink(std::filesystem::path path, std::uint64_t most, unsigned kept)
    : path_{std::move(path)}, most_{most}, kept_{kept} {
    open();
}

Sink::~Sink() { ::close(file_); }

void Sink::open() {
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                   S_IRUSR | S_IWUSR | S_IRGRP);
    struct stat status {};
    if (file_ == -1 || ::fstat(file_, &status) == -1) {
        throw std::system_error{errno, std::generic_category(), path_.string()};
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
}

void Sink::write(std::string_view line) {
    const std::lock_guard lock{mutex_};
    if (size_ > 0 && size_ + line.size() > most_) rotate();
    while (!line.empty()) {
        const ssize_t written = ::write(file_, line.data(), line.size());
        if (written == -1 && errno == EINTR) continue;
        if (written == -1) throw std::system_error{errno, std::generic_category(), path_.string()};
        size_ += static_cast<std::uint64_t>(written);
        line.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::filesystem::path Sink::numbered(unsigned number) const {
    return fmt::format("{}.{}", path_.string(), number);
}

void Sink::rotate() {
    std::error_code missing;  // there may be fewer of them yet
    std::filesystem::remove(numbered(kept_), missing);
    for (unsigned number = kept_; number > 1; --number) {
        std::filesystem::rename(numbered(number - 1), numbered(number), missing);
    }
    if (kept_ > 0) {
        std::filesystem::rename(path_, numbered(1));
    } else {
        std::filesystem::remove(path_);
    }
    const int old = file_;
    open();
    ::close(old);
}

}  // namespace logs
