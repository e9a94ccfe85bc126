// SPDX-License-Identifier: MIT
#include "sys.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace socketserver::detail::sys {

namespace {
// glibc got a wrapper in 2.36 only.
int open_pidfd(pid_t pid, unsigned flags) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, flags));
}
// glibc declares this one with other types.
int make_eventfd(unsigned initial, int flags) { return ::eventfd(initial, flags); }

constexpr Calls real{
    .socket = ::socket,
    .bind = ::bind,
    .listen = ::listen,
    .accept4 = ::accept4,
    .connect = ::connect,
    .close = ::close,
    .shutdown = ::shutdown,
    .setsockopt = ::setsockopt,
    .eventfd = make_eventfd,
    .recv = ::recv,
    .send = ::send,
    .recvmsg = ::recvmsg,
    .sendto = ::sendto,
    .sendfile = ::sendfile,
    .poll = ::poll,
    .epoll_ctl = ::epoll_ctl,
    .mmap = ::mmap,
    .mprotect = ::mprotect,
    .madvise = ::madvise,
    .fork = ::fork,
    .pidfd_open = open_pidfd,
    .waitpid = ::waitpid,
    .pthread_create = ::pthread_create,
};
}  // namespace

constinit const Calls kernel = real;
constinit Calls calls = real;

}  // namespace socketserver::detail::sys
