// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <span>

namespace socketserver::detail {

/// Lets a message that is to be sent carry one part of control data. `buffer` has CMSG_SPACE() of
/// its size, aligned as a cmsghdr.
inline void set_control_data(msghdr& message, void* buffer, int level, int type,
                             std::span<const std::byte> data) noexcept {
    message.msg_control = buffer;
    message.msg_controllen = CMSG_SPACE(data.size());
    auto* const header = static_cast<cmsghdr*>(buffer);  // where the first one lies
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(data.size());
    std::memcpy(CMSG_DATA(header), data.data(), data.size());
}

}  // namespace socketserver::detail
