// SPDX-License-Identifier: MIT
// Line echo on libevent: a bufferevent per connection, and whole lines moved from its input buffer
// to its output buffer without copying.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "../raw/common.h"

static void on_read(struct bufferevent* connection, void* unused) {
    (void)unused;
    struct evbuffer* input = bufferevent_get_input(connection);
    struct evbuffer* output = bufferevent_get_output(connection);
    size_t complete = 0;
    struct evbuffer_ptr at;
    evbuffer_ptr_set(input, &at, 0, EVBUFFER_PTR_SET);
    for (;;) {
        at = evbuffer_search(input, "\n", 1, &at);
        if (at.pos < 0) break;
        complete = (size_t)at.pos + 1;
        if (evbuffer_ptr_set(input, &at, 1, EVBUFFER_PTR_ADD) != 0) break;
    }
    if (complete > 0) evbuffer_remove_buffer(input, output, complete);
}

static void on_event(struct bufferevent* connection, short events, void* unused) {
    (void)unused;
    if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(connection);
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* peer,
                      int size, void* unused) {
    (void)peer;
    (void)size;
    (void)unused;
    struct bufferevent* connection =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(connection, line_buffer_size);
    bufferevent_set_max_single_write(connection, line_buffer_size);
    bufferevent_setcb(connection, on_read, NULL, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int argc, char** argv) {
    const int fd = listen_on(argc, argv);
    evutil_make_socket_nonblocking(fd);
    struct event_base* base = event_base_new();
    evconnlistener_new(base, on_accept, NULL, 0, 0, fd);
    return event_base_dispatch(base);
}
