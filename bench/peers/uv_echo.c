// SPDX-License-Identifier: MIT
// Line echo on libuv. As is usual there: one read buffer for all, uv_try_write() first, and a write
// request only for what the kernel did not take.
#include <stdlib.h>
#include <uv.h>

#include "../raw/common.h"

enum { max_line = 1 << 20 };

struct connection {
    uv_stream_t* stream;
    size_t held;
    char* line;
};

struct write_request {
    uv_write_t request;
    char data[];
};

static char buffer[line_buffer_size];
static int is_unix;

static void on_close(uv_handle_t* handle) {
    struct connection* c = handle->data;
    free(c->line);
    free(c);
    free(handle);
}

static void on_written(uv_write_t* request, int status) {
    (void)status;
    free(request);
}

static void reply(uv_stream_t* stream, char* data, size_t size) {
    uv_buf_t all = uv_buf_init(data, (unsigned)size);
    const int sent = uv_try_write(stream, &all, 1);
    if (sent == (int)size) return;
    const size_t done = sent < 0 ? 0 : (size_t)sent;
    struct write_request* rest = malloc(sizeof *rest + size - done);
    memcpy(rest->data, data + done, size - done);
    uv_buf_t remaining = uv_buf_init(rest->data, (unsigned)(size - done));
    if (uv_write(&rest->request, stream, &remaining, 1, on_written) != 0) free(rest);
}

static int hold(struct connection* c, const char* data, size_t size) {
    if (size == 0) return 1;
    if (c->held + size > max_line) return 0;
    c->line = realloc(c->line, c->held + size);
    memcpy(c->line + c->held, data, size);
    c->held += size;
    return 1;
}

static void on_read(uv_stream_t* stream, ssize_t got, const uv_buf_t* received) {
    struct connection* c = stream->data;
    if (got < 0) {
        uv_close((uv_handle_t*)stream, on_close);
        return;
    }
    const size_t size = (size_t)got;
    const char* newline = memrchr(received->base, '\n', size);
    const size_t complete = newline == NULL ? 0 : (size_t)(newline + 1 - received->base);
    if (complete > 0 && c->held == 0) {
        reply(stream, received->base, complete);
    } else if (complete > 0 && hold(c, received->base, complete)) {
        reply(stream, c->line, c->held);
        c->held = 0;
    }
    if (!hold(c, received->base + complete, size - complete)) {
        uv_close((uv_handle_t*)stream, on_close);
    }
}

static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* into) {
    (void)handle;
    (void)suggested;
    *into = uv_buf_init(buffer, sizeof buffer);
}

static uv_stream_t* new_stream(uv_loop_t* loop) {
    if (is_unix) {
        uv_pipe_t* pipe = malloc(sizeof *pipe);
        uv_pipe_init(loop, pipe, 0);
        return (uv_stream_t*)pipe;
    }
    uv_tcp_t* tcp = malloc(sizeof *tcp);
    uv_tcp_init(loop, tcp);
    return (uv_stream_t*)tcp;
}

static void on_connection(uv_stream_t* listener, int status) {
    if (status < 0) return;
    uv_stream_t* stream = new_stream(listener->loop);
    struct connection* c = calloc(1, sizeof *c);
    c->stream = stream;
    stream->data = c;
    if (uv_accept(listener, stream) != 0) {
        uv_close((uv_handle_t*)stream, on_close);
        return;
    }
    if (!is_unix) uv_tcp_nodelay((uv_tcp_t*)stream, 1);
    uv_read_start(stream, on_alloc, on_read);
}

int main(int argc, char** argv) {
    const int fd = listen_on(argc, argv);
    is_unix = is_unix_address(argv[1]);
    uv_loop_t* loop = uv_default_loop();
    uv_stream_t* listener = new_stream(loop);
    if (is_unix) {
        uv_pipe_open((uv_pipe_t*)listener, fd);
    } else {
        uv_tcp_open((uv_tcp_t*)listener, fd);
    }
    uv_listen(listener, backlog, on_connection);
    return uv_run(loop, UV_RUN_DEFAULT);
}
