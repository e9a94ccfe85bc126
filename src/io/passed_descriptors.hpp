// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "socketserver/socket.hpp"

// What Socket and the hand-over of a server share of passing descriptors over a Unix socket
// (SCM_RIGHTS).
namespace socketserver::detail {

/// How many descriptors the kernel passes in one message at most (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

/// A message of one piece of data, beside which `count` descriptors have room.
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

/// Lets the message, which has room for them, carry the descriptors.
void attach_descriptors(msghdr& message, std::span<const int> descriptors) noexcept;
/// Owns the descriptors of a received message, from whichever of its parts. All are ours to close,
/// whether somebody wanted them or not. Allocates nothing if `into` has room.
void take_descriptors(msghdr& message, std::vector<Socket>& into);

}  // namespace socketserver::detail
