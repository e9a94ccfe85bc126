// SPDX-License-Identifier: MIT
// One edge-triggered epoll loop, or several ("raw_epoll ADDRESS THREADS") that share the port.
//
// What makes it the limit to measure against:
// - A connection is registered once, for everything, and never modified.
// - One recv() and one send() per request: a short read means that the socket is drained, so there
//   is no second recv() that only returns EAGAIN. EPOLLRDHUP tells of a FIN that came with the
//   data.
// - All connections read into one buffer; a connection has memory of its own only while a line is
//   incomplete or while the client does not read.
#include "common.h"
#include "unfinished.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>

enum { events_per_wait = 512 };

struct connection {
    int fd;
    struct unfinished rest;
};

struct loop {
    int epoll, listener;
    char buffer[line_buffer_size];
};

static void close_connection(struct connection* c) {
    close(c->fd);
    free_unfinished(&c->rest);
    free(c);
}

static bool send_or_keep(struct connection* c, const char* data, size_t size) {
    if (c->rest.unsent > 0) return keep_output(&c->rest, data, size);
    const ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size) return true;
    if (sent < 0 && errno != EAGAIN) return false;
    const size_t done = sent < 0 ? 0 : (size_t)sent;
    return keep_output(&c->rest, data + done, size - done);
}

static bool flush_output(struct connection* c) {
    const ssize_t sent = send(c->fd, c->rest.output, c->rest.unsent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    drop_output(&c->rest, (size_t)sent);
    return true;
}

static bool answer(struct connection* c, const char* data, size_t size) {
    const char* newline = memrchr(data, '\n', size);
    if (newline == NULL) return keep_line(&c->rest, data, size);
    const size_t complete = (size_t)(newline + 1 - data);
    if (c->rest.held > 0) {
        if (!keep_line(&c->rest, data, complete) || !send_or_keep(c, c->rest.line, c->rest.held))
            return false;
        drop_line(&c->rest);
    } else if (!send_or_keep(c, data, complete)) {
        return false;
    }
    return keep_line(&c->rest, data + complete, size - complete);
}

// False when the connection is over.
static bool serve(struct loop* loop, struct connection* c, unsigned events) {
    if (events & (EPOLLERR | EPOLLHUP)) return false;
    if (c->rest.unsent > 0 && (events & EPOLLOUT) && !flush_output(c)) return false;
    // A client that does not read is not read from; the edge that ends this is EPOLLOUT, so the
    // socket is read then, whether or not that event says EPOLLIN.
    while (c->rest.unsent == 0) {
        const ssize_t got = recv(c->fd, loop->buffer, sizeof loop->buffer, 0);
        if (got < 0) return errno == EAGAIN;
        if (got == 0 || !answer(c, loop->buffer, (size_t)got)) return false;
        if ((size_t)got < sizeof loop->buffer) return !(events & EPOLLRDHUP) || c->rest.unsent > 0;
    }
    return true;
}

static void accept_all(struct loop* loop) {
    for (;;) {
        const int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) return;
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) die("accept4");
        struct connection* c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = c};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    }
}

static void* run(void* argument) {
    struct loop* loop = argument;
    struct epoll_event events[events_per_wait];
    for (;;) {
        const int count = epoll_wait(loop->epoll, events, events_per_wait, -1);
        for (int i = 0; i < count; ++i) {
            struct connection* c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(loop);
            } else if (events[i].events != EPOLLOUT || c->rest.unsent > 0) {
                // Not the first event, which is an empty one.
                if (!serve(loop, c, events[i].events)) close_connection(c);
            }
        }
    }
    return NULL;
}

static struct loop* new_loop(int listener) {
    struct loop* loop = malloc(sizeof *loop);
    if (loop == NULL) die("malloc");
    if (listen(listener, backlog) != 0) die("listen");
    loop->listener = listener;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
    return loop;
}

static int new_listener(const char* address, int share_port) {
    return is_unix_address(address) ? bind_unix(address, SOCK_STREAM | SOCK_NONBLOCK)
                                    : bind_port(address, SOCK_STREAM | SOCK_NONBLOCK, share_port);
}

int main(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s PORT|PATH|@NAME [THREADS]\n", argv[0]);
        return 2;
    }
    const int threads = argc == 3 && !is_unix_address(argv[1]) ? atoi(argv[2]) : 1;
    raise_descriptor_limit();
    const int listener = new_listener(argv[1], threads > 1);
    struct loop* first = new_loop(listener);
    for (int i = 1; i < threads; ++i) {
        char port[16];
        snprintf(port, sizeof port, "%d", port_of(listener));
        pthread_t thread;
        if (pthread_create(&thread, NULL, run, new_loop(new_listener(port, 1))) != 0) {
            die("pthread_create");
        }
    }
    announce(listener, argv[1]);
    run(first);
}
