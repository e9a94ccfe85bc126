// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <optional>
#include <span>

#include "io/buffer_pool.hpp"
#include "io/request_hooks.hpp"
#include "io/socket_error.hpp"
#include "io/waiting.hpp"
#include "os/no_sigpipe.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace {

using detail::Channel;
using detail::Direction;
using detail::NonBlocking;
using detail::throw_io_error;
using detail::TimePoint;
using detail::wait_again;
namespace sys = detail::sys;

/// Whether the error says that sendfile(2) does not take bytes from such a file: it needs a file
/// whose pages can be cached, and one that has positions.
bool is_for_reading(int error) {
    return error == EINVAL || error == ESPIPE || error == EOPNOTSUPP || error == ENOSYS;
}

/// A piece of the file, as read(2); -1 with errno.
ssize_t read_piece(int file, std::span<char> buffer, off_t position) {
    const ssize_t got =
        sys::retry_on_eintr([&] { return ::pread(file, buffer.data(), buffer.size(), position); });
    if (got != -1 || errno != ESPIPE) return got;
    // A pipe, a terminal or a socket has no positions, and is read on from where it stands. Its
    // next bytes may not be there yet, and a fiber must not block for them.
    Channel source;
    source.fd = file;
    const int ready = detail::wait(source, Direction::read, detail::never);
    detail::forget(source);
    if (ready == -1) return -1;
    return sys::retry_on_eintr([&] { return ::read(file, buffer.data(), buffer.size()); });
}

}  // namespace

/// Sends a file by reading it in pieces: what sendfile(2) does not take, or what a filter must see.
std::size_t Socket::send_by_reading(int file, std::size_t offset, std::size_t count) {
    constexpr std::size_t piece = std::size_t{64} * 1024;
    if (offset > 0 && ::lseek(file, 0, SEEK_CUR) == -1) throw_io_error(channel_, "sendfile");
    std::size_t total = 0;
    while (total < count) {
        const detail::PooledBuffer buffer{piece};
        const ssize_t got = read_piece(file, {buffer.data(), std::min(count - total, piece)},
                                       static_cast<off_t>(offset + total));
        // Reading the file failed, so this is not an error of the connection, whatever the value of
        // errno is.
        if (got == -1) detail::throw_system_error("sendfile: read");
        if (got == 0) break;
        transmit({buffer.data(), static_cast<std::size_t>(got)});
        total += static_cast<std::size_t>(got);
    }
    return total;
}

std::size_t Socket::sendfile(int file, std::size_t offset, std::optional<std::size_t> count) {
    // The kernel takes at most this much in one call. To a client that reads as fast as it is sent
    // to, one call would send the whole file. A carrier gets the chance to run others after each
    // piece.
    constexpr std::size_t most_of_kernel = 0x7ffff000;
    constexpr std::size_t piece = std::size_t{64} * 1024;
    const std::size_t most = detail::current().io == nullptr ? most_of_kernel : piece;
    flush_corked();
    // The kernel does not know what a filter makes of the bytes.
    const auto all = static_cast<std::size_t>(-1);
    if (channel_.filter != nullptr) return send_by_reading(file, offset, count.value_or(all));
    auto position = static_cast<off_t>(offset);
    std::size_t left = count.value_or(all);
    detail::before_send(channel_, "sendfile");
    const TimePoint until = channel_.until();
    std::optional<NonBlocking> non_blocking{channel_.fd};
    while (left > 0) {
        if (detail::begin_operation() == -1) throw_io_error(channel_, "sendfile");
        const ssize_t sent = detail::after_send(
            channel_, sys::retry_on_eintr([&] {
                const detail::NoSigpipe
                    no_sigpipe;  // not around the wait: a fiber leaves the thread
                return sys::calls.sendfile(channel_.fd, file, &position, std::min(left, most));
            }));
        if (sent == 0) break;  // the file ends here
        if (sent > 0) {
            left -= static_cast<std::size_t>(sent);
            detail::before_send(channel_, "sendfile");
        } else if (is_for_reading(errno) && static_cast<std::size_t>(position) == offset) {
            non_blocking.reset();
            return send_by_reading(file, offset, left);
        } else if (errno != EAGAIN || wait_again(channel_, Direction::write, until) == -1) {
            throw_io_error(channel_, "sendfile");
        }
    }
    return static_cast<std::size_t>(position) - offset;
}

}  // namespace socketserver
