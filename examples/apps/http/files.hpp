// SPDX-License-Identifier: MIT
// The files that are served: found below a folder, and never outside of it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace http {

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

/// The types of files by the ends of their names, as /etc/mime.types lists them.
class MimeTypes {
  public:
    /// A list that cannot be read is an empty one.
    explicit MimeTypes(const std::filesystem::path& list);
    /// "application/octet-stream" for a name that is not known.
    std::string_view type_of(std::string_view path) const;

  private:
    std::unordered_map<std::string, std::string> types_;
};

}  // namespace http
