// SPDX-License-Identifier: MIT
// Line echo on libevent's bufferevents over OpenSSL: "peer_libevent_tls PORT PEM", a file with a
// certificate and its key.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "../raw/common.h"
#include "libevent_lines.h"

static void on_event(struct bufferevent* connection, short events, void* unused) {
    (void)unused;
    if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(connection);
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* peer,
                      int size, void* context) {
    (void)peer;
    (void)size;
    SSL* ssl = SSL_new(context);
    if (ssl == NULL) die("SSL_new");
    struct bufferevent* connection =
        bufferevent_openssl_socket_new(evconnlistener_get_base(listener), fd, ssl,
                                       BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(connection, echo_lines_of, NULL, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX* context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        die(argv[2]);
    }
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    const int fd = listen_on(2, argv);
    evutil_make_socket_nonblocking(fd);
    struct event_base* base = event_base_new();
    evconnlistener_new(base, on_accept, context, 0, 0, fd);
    return event_base_dispatch(base);
}
