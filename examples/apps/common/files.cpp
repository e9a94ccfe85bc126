// SPDX-License-Identifier: MIT
#include "files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sstream>
#include <system_error>

namespace apps {

namespace {

// Without O_NONBLOCK, opening a FIFO would wait for its writer.
constexpr int for_reading = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

/// For kernels, and sandboxes, without openat2(2): component by component, and no symbolic link.
File open_step_by_step(int folder, const std::string& path) {
    File last;
    std::istringstream steps{path};
    for (std::string step; std::getline(steps, step, '/');) {
        if (step.empty() || step == ".") continue;
        if (step == "..") {
            errno = EXDEV;
            return {};
        }
        const int from = last ? last.fileno() : folder;
        File next{::openat(from, step.c_str(), for_reading | O_NOFOLLOW)};
        if (!next) return {};
        last = std::move(next);
    }
    return last ? std::move(last) : File{::openat(folder, ".", for_reading)};
}

}  // namespace

File::~File() {
    if (descriptor_ != -1) ::close(descriptor_);
}

struct stat File::status() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) == -1) {
        throw std::system_error{errno, std::generic_category(), "fstat"};
    }
    return status;
}

Root::Root(const std::filesystem::path& folder)
    : folder_{::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY)} {
    if (!folder_) throw std::system_error{errno, std::generic_category(), folder.string()};
}

File Root::open(const std::string& path) const {
    const char* const name = path.empty() ? "." : path.c_str();
    open_how how{};
    how.flags = static_cast<std::uint64_t>(for_reading);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    long file = -1;
    do {  // EAGAIN: something was renamed on the way
        file = ::syscall(SYS_openat2, folder_.fileno(), name, &how, sizeof how);
    } while (file == -1 && (errno == EINTR || errno == EAGAIN));
    if (file == -1 && (errno == ENOSYS || errno == EPERM)) {
        return open_step_by_step(folder_.fileno(), path);
    }
    return File{static_cast<int>(file)};
}

std::vector<std::string> names_in(const File& folder) {
    const int copy = ::openat(folder.fileno(), ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries{::fdopendir(copy), ::closedir};
    if (!entries) throw std::system_error{errno, std::generic_category(), "fdopendir"};
    std::vector<std::string> names;
    while (const dirent* const entry = ::readdir(entries.get())) {  // NOLINT(*-mt-unsafe): our own
        std::string name{static_cast<const char*>(entry->d_name)};
        if (name == "." || name == "..") continue;
        if (entry->d_type == DT_DIR) name += '/';
        names.push_back(std::move(name));
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace apps
