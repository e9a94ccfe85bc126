// SPDX-License-Identifier: MIT
// One edge-triggered epoll loop over OpenSSL: "raw_tls ADDRESS PEM", a file with a certificate and
// its key.
//
// As raw_epoll.c: a connection is registered once; all connections read into one buffer; a
// connection has memory of its own only while a line is incomplete or while the client does not
// read. OpenSSL reads ahead, so that a record costs one read(2), and gives its buffers back when
// they are empty. It does not tell that the socket is drained: a second read(2) does.
#include "common.h"
#include "unfinished.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

enum { events_per_wait = 512 };

struct connection {
    SSL* ssl;
    struct unfinished rest;
};

static char buffer[line_buffer_size];

static void close_connection(struct connection* c) {
    const int fd = SSL_get_fd(c->ssl);
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(fd);
    free_unfinished(&c->rest);
    free(c);
}

static bool waits(struct connection* c, int result) {
    const int error = SSL_get_error(c->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool send_or_keep(struct connection* c, const char* data, size_t size) {
    while (c->rest.unsent == 0 && size > 0) {
        const int sent = SSL_write(c->ssl, data, (int)size);
        if (sent <= 0) {
            if (!waits(c, sent)) return false;
            break;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return keep_output(&c->rest, data, size);
}

static bool flush_output(struct connection* c) {
    while (c->rest.unsent > 0) {
        const int sent = SSL_write(c->ssl, c->rest.output, (int)c->rest.unsent);
        if (sent <= 0) return waits(c, sent);
        drop_output(&c->rest, (size_t)sent);
    }
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

// False when the connection is over. SSL_read() makes the handshake too.
static bool serve(struct connection* c, unsigned events) {
    if (events & (EPOLLERR | EPOLLHUP)) return false;
    if (c->rest.unsent > 0 && (events & EPOLLOUT) && !flush_output(c)) return false;
    while (c->rest.unsent == 0) {
        ERR_clear_error();
        const int got = SSL_read(c->ssl, buffer, sizeof buffer);
        if (got <= 0) return waits(c, got);
        if (!answer(c, buffer, (size_t)got)) return false;
    }
    return true;
}

static void accept_all(int epoll, int listener, SSL_CTX* context) {
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) return;
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) die("accept4");
        struct connection* c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->ssl = SSL_new(context);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) die("SSL_new");
        SSL_set_accept_state(c->ssl);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
    }
}

static SSL_CTX* new_context(const char* pem) {
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1);
    return context;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s PORT|PATH|@NAME PEM\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    SSL_CTX* context = new_context(argv[2]);
    const int listener = bind_to(argv[1], SOCK_STREAM | SOCK_NONBLOCK);
    if (listen(listener, backlog) != 0) die("listen");
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
    announce(listener, argv[1]);
    struct epoll_event events[events_per_wait];
    for (;;) {
        const int count = epoll_wait(epoll, events, events_per_wait, -1);
        for (int i = 0; i < count; ++i) {
            struct connection* c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(epoll, listener, context);
            } else if (events[i].events != EPOLLOUT || c->rest.unsent > 0) {
                // Not the first event, which is an empty one.
                if (!serve(c, events[i].events)) close_connection(c);
            }
        }
    }
}
