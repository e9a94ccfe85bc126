// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>

namespace http {

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
