// SPDX-License-Identifier: MIT
#include "io/passed_descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/control_data.hpp"
#include "io/request_hooks.hpp"
#include "io/socket_error.hpp"
#include "io/waiting.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace detail {

void attach_descriptors(msghdr& message, std::span<const int> descriptors) noexcept {
    if (descriptors.empty()) {
        message.msg_control = nullptr;
        message.msg_controllen = 0;
        return;
    }
    set_control_data(message, message.msg_control, SOL_SOCKET, SCM_RIGHTS,
                     std::as_bytes(descriptors));
}

void take_descriptors(msghdr& message, std::vector<Socket>& into) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t size = header->cmsg_len - CMSG_LEN(0);
        for (std::size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + at, sizeof descriptor);
            into.emplace_back(sys::off_standard_streams(descriptor));
        }
    }
}

}  // namespace detail

namespace {

/// Has room for all descriptors that may come, because the kernel closes those without room.
using Message = detail::DescriptorMessage<detail::most_descriptors>;

using detail::Direction;
using detail::throw_io_error;
using detail::TimePoint;
using detail::wait_again;
namespace sys = detail::sys;

void refuse_filter(const detail::Channel& channel, const char* operation) {
    if (channel.filter == nullptr) return;
    throw std::system_error(
        std::make_error_code(std::errc::operation_not_supported),
        std::string{operation} + ": descriptors cannot pass what encrypts the connection");
}

}  // namespace

void Socket::send_fds(std::string_view data, std::span<const int> descriptors) {
    refuse_filter(channel_, "send_fds");
    if (data.empty()) throw std::invalid_argument("send_fds: descriptors need a byte to go with");
    if (descriptors.size() > detail::most_descriptors) {
        throw std::invalid_argument("send_fds: more than 253 descriptors");
    }
    flush_corked();
    detail::before_send(channel_, "send_fds");
    const TimePoint until = channel_.until();
    Message message{const_cast<char*>(data.data()), data.size()};  // sendmsg() only reads the data
    detail::attach_descriptors(message.header, descriptors);
    std::ptrdiff_t sent = -1;
    for (;;) {
        if (detail::begin_operation() == -1) throw_io_error(channel_, "send_fds");
        sent = detail::after_send(channel_, sys::retry_on_eintr([&] {
                                      return ::sendmsg(channel_.fd, &message.header,
                                                       MSG_NOSIGNAL | MSG_DONTWAIT);
                                  }));
        if (sent != -1) break;
        if (errno != EAGAIN || wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, "send_fds");
        }
    }
    // The descriptors have gone with the first byte.
    data.remove_prefix(static_cast<std::size_t>(sent));
    if (!data.empty()) sendall(data);
}

ReceivedFds Socket::recv_fds(std::size_t size, std::size_t most) {
    refuse_filter(channel_, "recv_fds");
    if (size == 0) return {};
    flush_before_wait();
    const TimePoint until = channel_.until();
    const detail::PooledBuffer buffer{std::min(size, std::size_t{256} * 1024)};
    ReceivedFds result;
    result.descriptors.reserve(
        detail::most_descriptors);  // before they come: those are ours to close
    for (;;) {
        const detail::Input input = detail::before_receive(channel_, false);
        if (detail::begin_operation() == -1) throw_io_error(channel_, "recv_fds");
        Message message{buffer.data(), std::min(size, std::size_t{256} * 1024)};
        const std::ptrdiff_t received =
            detail::after_receive(channel_, sys::retry_on_eintr([&] {
                                      return sys::calls.recvmsg(channel_.fd, &message.header,
                                                                MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                                  }));
        if (received != -1) {
            detail::take_descriptors(message.header, result.descriptors);
            result.truncated =
                (message.header.msg_flags & MSG_CTRUNC) != 0 || result.descriptors.size() > most;
            if (result.descriptors.size() > most) {
                result.descriptors.erase(
                    result.descriptors.begin() + static_cast<std::ptrdiff_t>(most),
                    result.descriptors.end());
            }
            result.data.assign(buffer.data(), static_cast<std::size_t>(received));
            return result;
        }
        if (errno == EAGAIN && input == detail::Input::look) {
            detail::ended_by_drain(channel_);
            return result;
        }
        if (errno != EAGAIN || wait_again(channel_, Direction::read, until) == -1) {
            throw_io_error(channel_, "recv_fds");
        }
    }
}

}  // namespace socketserver
