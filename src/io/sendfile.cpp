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

/// sendfile(2) knows no MSG_NOSIGNAL: holds SIGPIPE back in this thread and swallows the one that
/// the call may have raised.
class SigpipeHeldBack {
  public:
    SigpipeHeldBack() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    SigpipeHeldBack(const SigpipeHeldBack&) = delete;
    SigpipeHeldBack& operator=(const SigpipeHeldBack&) = delete;
    ~SigpipeHeldBack() {
        const int saved = errno;
        const timespec at_once{};
        if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        errno = saved;
    }

  private:
    sigset_t pipe_{};
    sigset_t before_{};
    bool was_pending_ = false;
};

/// Whether sendfile(2) says that it does not take bytes from such a file: it wants one whose pages
/// can be cached, and a file that knows positions.
bool is_for_reading(int error) {
    return error == EINVAL || error == ESPIPE || error == EOPNOTSUPP || error == ENOSYS;
}

/// A piece of the file, as read(2); -1 with errno.
ssize_t read_piece(int file, std::span<char> buffer, off_t position) {
    const ssize_t got =
        sys::retry_on_eintr([&] { return ::pread(file, buffer.data(), buffer.size(), position); });
    if (got != -1 || errno != ESPIPE) return got;
    // A pipe, a terminal or a socket has no positions: what follows is what comes next. It may not
    // have come yet, and a fiber must not block.
    Channel source;
    source.fd = file;
    const int ready = detail::wait(source, Direction::read, detail::never);
    detail::forget(source);
    if (ready == -1) return -1;
    return sys::retry_on_eintr([&] { return ::read(file, buffer.data(), buffer.size()); });
}

}  // namespace

/// For what sendfile(2) does not take: through the program, in pieces.
std::size_t Socket::send_by_reading(int file, std::size_t offset, std::size_t count) {
    constexpr std::size_t piece = std::size_t{64} * 1024;
    if (offset > 0 && ::lseek(file, 0, SEEK_CUR) == -1) throw_io_error(channel_, "sendfile");
    std::size_t total = 0;
    while (total < count) {
        const detail::PooledBuffer buffer{piece};
        const ssize_t got = read_piece(file, {buffer.data(), std::min(count - total, piece)},
                                       static_cast<off_t>(offset + total));
        // Not an error of the connection, whatever errno says.
        if (got == -1) detail::throw_system_error("sendfile: read");
        if (got == 0) break;
        transmit({buffer.data(), static_cast<std::size_t>(got)});
        total += static_cast<std::size_t>(got);
    }
    return total;
}

std::size_t Socket::sendfile(int file, std::size_t offset, std::optional<std::size_t> count) {
    // The kernel takes at most this much in one call. For a client that reads as fast as it is sent
    // to, the call goes on until the end of the file: a carrier is asked after each piece whether
    // it is another's turn.
    constexpr std::size_t most_of_kernel = 0x7ffff000;
    constexpr std::size_t piece = std::size_t{64} * 1024;
    const std::size_t most = detail::current().io == nullptr ? most_of_kernel : piece;
    flush_corked();
    auto position = static_cast<off_t>(offset);
    std::size_t left = count.value_or(static_cast<std::size_t>(-1));
    detail::before_send(channel_, "sendfile");
    const TimePoint until = channel_.until();
    std::optional<NonBlocking> non_blocking{channel_.fd};
    while (left > 0) {
        if (detail::begin_operation() == -1) throw_io_error(channel_, "sendfile");
        const ssize_t sent = detail::after_send(
            channel_, sys::retry_on_eintr([&] {
                const SigpipeHeldBack held_back;  // not around the wait: a fiber leaves the thread
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
