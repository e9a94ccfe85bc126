// SPDX-License-Identifier: MIT
#include "os/system_error.hpp"

#include <cerrno>
#include <string>
#include <system_error>

namespace socketserver::detail {

void throw_system_error(std::string_view operation) {
    const int error = errno;
    throw std::system_error(error, std::system_category(), std::string{operation});
}

}  // namespace socketserver::detail
