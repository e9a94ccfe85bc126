// SPDX-License-Identifier: MIT
// Line echo on libevent: a bufferevent per connection.
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "../raw/common.h"
#include "libevent_lines.h"

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
    bufferevent_setcb(connection, echo_lines_of, NULL, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int argc, char** argv) {
    const int fd = listen_on(argc, argv);
    evutil_make_socket_nonblocking(fd);
    struct event_base* base = event_base_new();
    evconnlistener_new(base, on_accept, NULL, 0, 0, fd);
    return event_base_dispatch(base);
}
