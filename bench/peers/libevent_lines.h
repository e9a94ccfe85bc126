// SPDX-License-Identifier: MIT
// What the libevent peers share: whole lines are moved from the input buffer to the output buffer
// without copying.
#ifndef SOCKETSERVER_BENCH_PEERS_LIBEVENT_LINES_H
#define SOCKETSERVER_BENCH_PEERS_LIBEVENT_LINES_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>

static inline void echo_lines_of(struct bufferevent* connection, void* unused) {
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

#endif
