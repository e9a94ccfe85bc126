// SPDX-License-Identifier: MIT
#include "maildir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>
#include <system_error>

namespace smtp {

namespace {

constexpr std::size_t most_waiting = 64 * 1024;

[[noreturn]] void throw_error(const char* operation) {
    throw std::system_error{errno, std::generic_category(), operation};
}

apps::File opened(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    apps::File file{::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY)};
    if (!file) throw_error(folder.c_str());
    return file;
}

std::string host_name() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    if (::gethostname(name.data(), name.size() - 1) == -1) throw_error("gethostname");
    std::string host{name.data()};
    std::ranges::replace(host, '/', '-');
    std::ranges::replace(host, ':', '-');
    return host;
}

/// No mail of this machine has had this name, whichever process has written it.
std::string unique_name() {
    static std::atomic<unsigned> count{0};
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return fmt::format("{}.M{}P{}Q{}.{}", now.tv_sec, now.tv_nsec / 1000, ::getpid(), ++count,
                       host_name());
}

}  // namespace

Maildir::Maildir(const std::filesystem::path& folder)
    : temporary_{opened(folder / "tmp")}, new_{opened(folder / "new")} {
    opened(folder / "cur");
}

Mail::Mail(const Maildir& maildir)
    : maildir_{maildir},
      name_{unique_name()},
      file_{::openat(maildir.temporary_.fileno(), name_.c_str(),
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR)} {
    if (!file_) throw_error("open a mail");
}

Mail::~Mail() {
    if (!is_delivered_) ::unlinkat(maildir_.temporary_.fileno(), name_.c_str(), 0);
}

void Mail::write(std::string_view text) {
    waiting_ += text;
    if (waiting_.size() >= most_waiting) flush();
}

void Mail::flush() {
    std::string_view rest = waiting_;
    while (!rest.empty()) {
        const ssize_t written = ::write(file_.fileno(), rest.data(), rest.size());
        if (written == -1 && errno == EINTR) continue;
        if (written == -1) throw_error("write a mail");
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
    waiting_.clear();
}

void Mail::deliver() {
    flush();
    if (::fsync(file_.fileno()) == -1) throw_error("fsync a mail");
    const int folder = maildir_.new_.fileno();
    if (::renameat(maildir_.temporary_.fileno(), name_.c_str(), folder, name_.c_str()) == -1) {
        throw_error("rename a mail");
    }
    is_delivered_ = true;
    if (::fsync(folder) == -1) throw_error("fsync the folder of new mails");
}

}  // namespace smtp
