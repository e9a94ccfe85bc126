// SPDX-License-Identifier: MIT
// Files that are found below a folder, and never outside of it.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace apps {

/// An open file, which is closed at the end.
class File {
  public:
    File() = default;
    explicit File(int descriptor) : descriptor_{descriptor} {}
    File(File&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
    File& operator=(File&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~File();

    explicit operator bool() const { return descriptor_ != -1; }
    int fileno() const { return descriptor_; }
    /// @throws std::system_error
    struct stat status() const;

  private:
    int descriptor_ = -1;
};

/// A folder whose content is served. A path that leads out of it, by ".." or by a symbolic link,
/// is not found.
class Root {
  public:
    /// @throws std::system_error if it is no folder that can be read.
    explicit Root(const std::filesystem::path& folder);

    /// Opens what is at a path relative to the root. Without a file, errno tells why.
    File open(const std::string& path) const;

  private:
    File folder_;
};

/// The names in a folder, sorted; those of folders end with '/'.
std::vector<std::string> names_in(const File& folder);

}  // namespace apps
