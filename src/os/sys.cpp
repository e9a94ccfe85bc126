// SPDX-License-Identifier: MIT
#include "os/sys.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace socketserver::detail::sys {

namespace {
int renumber(int descriptor) noexcept {
    const int higher = ::fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return higher;
}
}  // namespace

int off_standard_streams(int descriptor) noexcept {
    return descriptor > STDERR_FILENO || descriptor == -1 ? descriptor : renumber(descriptor);
}

namespace {
int make_socket(int domain, int type, int protocol) {
    return off_standard_streams(::socket(domain, type, protocol));
}
/// Both, or neither.
int pair_off_standard_streams(int* ends) {
    ends[0] = off_standard_streams(ends[0]);
    ends[1] = off_standard_streams(ends[1]);
    if (ends[0] != -1 && ends[1] != -1) return 0;
    const int error = errno;
    if (ends[0] != -1) ::close(ends[0]);
    if (ends[1] != -1) ::close(ends[1]);
    errno = error;
    return -1;
}
int make_pair(int domain, int type, int protocol, int* ends) {
    if (::socketpair(domain, type, protocol, ends) == -1) return -1;
    return pair_off_standard_streams(ends);
}
int make_pipe(int* ends, int flags) {
    if (::pipe2(ends, flags) == -1) return -1;
    return pair_off_standard_streams(ends);
}
ssize_t move_by_pipe(int from, int to, size_t size, unsigned flags) {
    return ::splice(from, nullptr, to, nullptr, size, flags);
}
int accept_client(int fd, sockaddr* address, socklen_t* size, int flags) {
    return off_standard_streams(::accept4(fd, address, size, flags));
}
int make_eventfd(unsigned initial, int flags) {
    return off_standard_streams(::eventfd(initial, flags));
}
// musl's has other types.
int receive_messages(int fd, mmsghdr* messages, unsigned count, int flags) {
    return ::recvmmsg(fd, messages, count, flags, nullptr);
}
int send_messages(int fd, mmsghdr* messages, unsigned count, int flags) {
    return ::sendmmsg(fd, messages, count, flags);
}
int make_epoll(int flags) { return off_standard_streams(::epoll_create1(flags)); }
int make_timer(int clock, int flags) {
    return off_standard_streams(::timerfd_create(clock, flags));
}
// glibc got wrappers in 2.36 only.
int open_pidfd(pid_t pid, unsigned flags) {
    return off_standard_streams(static_cast<int>(::syscall(SYS_pidfd_open, pid, flags)));
}
int signal_pidfd(int pidfd, int signal) {
    return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

constexpr Calls real{
    .socket = make_socket,
    .socketpair = make_pair,
    .bind = ::bind,
    .listen = ::listen,
    .accept4 = accept_client,
    .connect = ::connect,
    .close = ::close,
    .shutdown = ::shutdown,
    .setsockopt = ::setsockopt,
    .eventfd = make_eventfd,
    .epoll_create1 = make_epoll,
    .timerfd_create = make_timer,
    .pipe2 = make_pipe,
    .recv = ::recv,
    .send = ::send,
    .recvmsg = ::recvmsg,
    .recvmmsg = receive_messages,
    .sendmsg = ::sendmsg,
    .sendmmsg = send_messages,
    .sendto = ::sendto,
    .sendfile = ::sendfile,
    .splice = move_by_pipe,
    .poll = ::poll,
    .epoll_ctl = ::epoll_ctl,
    .mmap = ::mmap,
    .mprotect = ::mprotect,
    .madvise = ::madvise,
    .fork = ::fork,
    .pidfd_open = open_pidfd,
    .pidfd_send_signal = signal_pidfd,
    .waitpid = ::waitpid,
    .pthread_create = ::pthread_create,
};
}  // namespace

constinit const Calls kernel = real;
constinit Calls calls = real;

int set_close_on_exec(int descriptor) noexcept {
    const int flags = ::fcntl(descriptor, F_GETFD);
    return flags == -1 ? -1 : ::fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
}

}  // namespace socketserver::detail::sys
