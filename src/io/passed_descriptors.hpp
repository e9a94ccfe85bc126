// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "socketserver/socket.hpp"

// Functions for passing descriptors over a Unix socket (SCM_RIGHTS), which Socket and the hand-over
// of a server share.
namespace socketserver::detail {

/// How many descriptors the kernel passes in one message at most (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

/// A message of one piece of data, with room for `count` descriptors.
template <std::size_t count>
struct DescriptorMessage {
    DescriptorMessage(char* data, std::size_t size) : part{data, size} {
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
    }
    DescriptorMessage(const DescriptorMessage&) = delete;
    DescriptorMessage& operator=(const DescriptorMessage&) = delete;
    ~DescriptorMessage() = default;

    iovec part;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(count * sizeof(int))> control{};
    msghdr header{};
};

/// Attaches the descriptors to the message, which must have room for them.
void attach_descriptors(msghdr& message, std::span<const int> descriptors) noexcept;
/// Takes ownership of all descriptors of a received message, from all of its parts, because the
/// process has to close them even if the caller does not want them. Allocates nothing if `into` has
/// room.
void take_descriptors(msghdr& message, std::vector<Socket>& into);

}  // namespace socketserver::detail
