// SPDX-License-Identifier: MIT
#include "content.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>
#include <utility>

#include "packet.hpp"

namespace tftp {

namespace {

/// What the client is told of an error of the system.
Refusal refusal_of(int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR:
            return {ErrorCode::not_found, "there is no such file"};
        case EEXIST:
            return {ErrorCode::exists, "the file exists"};
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
            return {ErrorCode::disk_full, "the disk is full"};
        case EACCES:
        case EPERM:
        case EROFS:
        case EXDEV:  // the path leads out of the folder
        case ELOOP:
            return {ErrorCode::access_violation, "access denied"};
        default:
            return {ErrorCode::undefined, std::generic_category().message(error)};
    }
}

/// Clients write "/name" for what is below the root.
std::string below_root(const std::string& name) {
    const std::size_t begin = name.find_first_not_of('/');
    return begin == std::string::npos ? std::string{} : name.substr(begin);
}

std::string temporary_name() {
    std::random_device random;
    return fmt::format(".upload-{:08x}{:08x}", random(), random());
}

std::string encoded(std::string_view data) {
    std::string text;
    for (const char c : data) {
        if (c == '\n') text.push_back('\r');
        text.push_back(c);
        if (c == '\r') text.push_back('\0');
    }
    return text;
}

}  // namespace

Source::Source(const apps::Root& root, const std::string& name, bool is_netascii)
    : file_{root.open(below_root(name))}, is_netascii_{is_netascii} {
    if (!file_) throw refusal_of(errno);
    if (!S_ISREG(file_.status().st_mode)) {
        throw Refusal{ErrorCode::access_violation, "this is no file"};
    }
}

std::optional<std::uint64_t> Source::size() const {
    if (is_netascii_) return {};
    return static_cast<std::uint64_t>(file_.status().st_size);
}

void Source::read_more(std::size_t size) {
    std::string data(size, '\0');
    ssize_t count = -1;
    do {
        count = ::read(file_.fileno(), data.data(), data.size());
    } while (count == -1 && errno == EINTR);
    if (count == -1) throw refusal_of(errno);
    data.resize(static_cast<std::size_t>(count));
    is_at_end_ = data.empty();
    waiting_ += is_netascii_ ? encoded(data) : data;
}

std::string Source::read(std::size_t size) {
    while (waiting_.size() < size && !is_at_end_) read_more(size - waiting_.size());
    std::string block = waiting_.substr(0, size);
    waiting_.erase(0, size);
    return block;
}

Sink::Sink(const apps::Root& root, const std::string& name, bool is_netascii, bool may_replace,
           std::uint64_t most)
    : temporary_{temporary_name()},
      is_netascii_{is_netascii},
      may_replace_{may_replace},
      left_{most} {
    const std::string path = below_root(name);
    const std::size_t slash = path.rfind('/');
    name_ = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name_.empty() || name_ == "." || name_ == "..") {
        throw Refusal{ErrorCode::access_violation, "this is no name of a file"};
    }
    folder_ = root.open(slash == std::string::npos ? std::string{} : path.substr(0, slash));
    if (!folder_) throw refusal_of(errno);
    struct stat status {};
    if (::fstatat(folder_.fileno(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!may_replace_ || !S_ISREG(status.st_mode))) {
        throw refusal_of(EEXIST);
    }
    file_ = apps::File{::openat(folder_.fileno(), temporary_.c_str(),
                                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)};
    if (!file_) throw refusal_of(errno);
}

Sink::~Sink() {
    if (file_) ::unlinkat(folder_.fileno(), temporary_.c_str(), 0);
}

std::string Sink::decoded(std::string_view data) {
    std::string text;
    for (const char c : data) {
        if (std::exchange(after_return_, false)) {
            text.push_back(c == '\n' ? '\n' : '\r');
            if (c == '\n' || c == '\0') continue;
        }
        after_return_ = c == '\r';
        if (!after_return_) text.push_back(c);
    }
    return text;
}

void Sink::write(std::string_view data) {
    const std::string text = is_netascii_ ? decoded(data) : std::string{};
    std::string_view rest = is_netascii_ ? std::string_view{text} : data;
    if (rest.size() > left_) throw Refusal{ErrorCode::disk_full, "the file is too large"};
    left_ -= rest.size();
    while (!rest.empty()) {
        const ssize_t written = ::write(file_.fileno(), rest.data(), rest.size());
        if (written == -1 && errno == EINTR) continue;
        if (written == -1) throw refusal_of(errno);
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
}

void Sink::commit() {
    const int folder = folder_.fileno();
    // A link, which never replaces what is there.
    const int result = may_replace_
                           ? ::renameat(folder, temporary_.c_str(), folder, name_.c_str())
                           : ::linkat(folder, temporary_.c_str(), folder, name_.c_str(), 0);
    if (result == -1) throw refusal_of(errno);
    if (!may_replace_) ::unlinkat(folder, temporary_.c_str(), 0);
    file_ = {};
}

}  // namespace tftp
