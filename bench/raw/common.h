// SPDX-License-Identifier: MIT
// What the raw servers share: where to listen, how to say so, and the blocking line echo.
// An address is a port of 127.0.0.1 (0: the kernel picks one), a path of a Unix socket, or
// "@name" in the abstract namespace.
#ifndef SOCKETSERVER_BENCH_RAW_COMMON_H
#define SOCKETSERVER_BENCH_RAW_COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { backlog = 4096, line_buffer_size = 64 * 1024 };

static inline void die(const char* what) {
    perror(what);
    exit(1);
}

static inline void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
}

static inline void set_option(int fd, int level, int option) {
    const int on = 1;
    if (setsockopt(fd, level, option, &on, sizeof on) != 0) die("setsockopt");
}

static inline int is_unix_address(const char* address) {
    return address[0] == '/' || address[0] == '@';
}

static inline int bind_unix(const char* path, int type) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    const size_t length = strlen(path);
    if (length >= sizeof address.sun_path) {
        fprintf(stderr, "%s: too long for a Unix address\n", path);
        exit(1);
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    } else {
        unlink(path);
    }
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (fd < 0 || bind(fd, (const struct sockaddr*)&address, size) != 0) die(path);
    return fd;
}

static inline int bind_port(const char* port, int type, int share_port) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)atoi(port));
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (share_port) set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (type != SOCK_DGRAM) set_option(fd, IPPROTO_TCP, TCP_NODELAY);  // accept() inherits it
    if (bind(fd, (const struct sockaddr*)&address, sizeof address) != 0) die(port);
    return fd;
}

static inline int bind_to(const char* address, int type) {
    return is_unix_address(address) ? bind_unix(address, type) : bind_port(address, type, 0);
}

static inline int port_of(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr*)&address, &size) != 0) die("getsockname");
    return ntohs(address.sin_port);
}

static inline void announce(int fd, const char* address) {
    if (is_unix_address(address)) {
        printf("ready\n");
    } else {
        printf("port %d\n", port_of(fd));
    }
    fflush(stdout);
}

static inline int listen_on(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT|PATH|@NAME\n", argv[0]);
        exit(2);
    }
    raise_descriptor_limit();
    const int fd = bind_to(argv[1], SOCK_STREAM);
    if (listen(fd, backlog) != 0) die("listen");
    announce(fd, argv[1]);
    return fd;
}

// Errors of one connection are not errors of the server: accept() goes on after them.
static inline int accept_next(int listener) {
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) return fd;
        if (errno != EINTR && errno != ECONNABORTED) die("accept4");
    }
}

static inline int send_all(int fd, const char* data, size_t size) {
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return -1;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

// One recv() and one send() for all complete lines that have arrived; a line that does not fit
// into the buffer ends the connection.
static inline void echo_lines(int fd) {
    char buffer[line_buffer_size];
    size_t held = 0;
    while (held < sizeof buffer) {
        const ssize_t got = recv(fd, buffer + held, sizeof buffer - held, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return;
        const char* newline = (const char*)memrchr(buffer + held, '\n', (size_t)got);
        held += (size_t)got;
        if (newline == NULL) continue;
        const size_t complete = (size_t)(newline + 1 - buffer);
        if (send_all(fd, buffer, complete) != 0) return;
        held -= complete;
        if (held > 0) memmove(buffer, buffer + complete, held);
    }
}

#endif
