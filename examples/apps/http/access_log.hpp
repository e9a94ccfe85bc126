// SPDX-License-Identifier: MIT
// A line for each request, in the common log format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "../common/files.hpp"

namespace http {

/// Each line is one write(2) to a file that is appended to, so threads and processes may share it.
class AccessLog {
  public:
    /// "-": stderr; "": no log.
    ///
    /// @throws std::system_error
    explicit AccessLog(const std::string& path);

    /// `host`: the client's; `request`: the first line of the request, as it came.
    void write(std::string_view host, std::string_view request, int status, std::uint64_t size);

  private:
    apps::File file_;
};

}  // namespace http
