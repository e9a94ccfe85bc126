// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "socketserver/detail/export.hpp"

// The syscall seam: every system call that can fail in an interesting way goes through this table,
// so that a test can put a script in the place of the kernel and see EMFILE, a short write or a
// failing fork without root, load or luck.
//
// A call through the table costs what a call through the dynamic linker's own table costs.
namespace socketserver::detail::sys {

struct Calls {
    // descriptors
    int (*socket)(int domain, int type, int protocol);
    int (*socketpair)(int domain, int type, int protocol, int* ends);
    int (*bind)(int fd, const sockaddr* address, socklen_t size);
    int (*listen)(int fd, int backlog);
    int (*accept4)(int fd, sockaddr* address, socklen_t* size, int flags);
    int (*connect)(int fd, const sockaddr* address, socklen_t size);
    int (*close)(int fd);
    int (*shutdown)(int fd, int how);
    int (*setsockopt)(int fd, int level, int option, const void* value, socklen_t size);
    int (*eventfd)(unsigned initial, int flags);
    int (*epoll_create1)(int flags);
    int (*timerfd_create)(int clock, int flags);
    int (*pipe2)(int* ends, int flags);
    // bytes
    ssize_t (*recv)(int fd, void* data, size_t size, int flags);
    ssize_t (*send)(int fd, const void* data, size_t size, int flags);
    ssize_t (*recvmsg)(int fd, msghdr* message, int flags);
    int (*recvmmsg)(int fd, mmsghdr* messages, unsigned count, int flags);
    ssize_t (*sendmsg)(int fd, const msghdr* message, int flags);
    int (*sendmmsg)(int fd, mmsghdr* messages, unsigned count, int flags);
    ssize_t (*sendto)(int fd, const void* data, size_t size, int flags, const sockaddr* address,
                      socklen_t address_size);
    ssize_t (*sendfile)(int out, int in, off_t* offset, size_t count);
    ssize_t (*splice)(int from, int to, size_t size, unsigned flags);
    int (*poll)(pollfd* fds, nfds_t count, int milliseconds);
    int (*epoll_ctl)(int epoll, int operation, int fd, epoll_event* event);
    // memory
    void* (*mmap)(void* where, size_t size, int protection, int flags, int fd, off_t offset);
    int (*mprotect)(void* where, size_t size, int protection);
    int (*madvise)(void* where, size_t size, int advice);
    // concurrency
    pid_t (*fork)();
    int (*pidfd_open)(pid_t pid, unsigned flags);
    int (*pidfd_send_signal)(int pidfd, int signal);
    pid_t (*waitpid)(pid_t pid, int* status, int options);
    int (*pthread_create)(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*start)(void*), void* argument);
};

/// The kernel's own calls.
SOCKETSERVER_EXPORT extern const Calls kernel;

/// The calls that the library makes. A test replaces entries before it starts a server and puts
/// `kernel`'s back afterwards; nobody else writes here.
SOCKETSERVER_EXPORT extern Calls calls;

/// Sets close-on-exec on a descriptor that something else has made. As fcntl(2).
SOCKETSERVER_EXPORT int set_close_on_exec(int descriptor) noexcept;

/// Moves a new descriptor, if need be, to a number above those of the standard streams, with
/// close-on-exec. A program may have closed its standard streams; a socket that took the number of
/// stderr would send to a client what the program prints. Every call of the table that makes a
/// descriptor passes it through here. Returns -1 for -1, and -1 with errno if no other number is
/// free.
SOCKETSERVER_EXPORT int off_standard_streams(int descriptor) noexcept;

/// Repeats `call` for as long as a signal interrupts it.
template <class Call>
auto retry_on_eintr(Call call) {
    auto result = call();
    while (result == -1 && errno == EINTR) result = call();
    return result;
}

}  // namespace socketserver::detail::sys
