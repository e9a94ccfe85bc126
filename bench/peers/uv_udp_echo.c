// SPDX-License-Identifier: MIT
// Datagram echo on libuv: one buffer for all, and uv_udp_try_send(), because a reply that the
// kernel does not take at once is lost anyway. With "recvmmsg" as second argument, several are
// received by one system call.
#include <uv.h>

#include "../raw/common.h"

enum { largest_datagram = 64 * 1024, most_at_once = 20 };

static char buffer[most_at_once * largest_datagram];
static size_t buffer_size = largest_datagram;

static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* into) {
    (void)handle;
    (void)suggested;
    *into = uv_buf_init(buffer, (unsigned)buffer_size);
}

static void on_datagram(uv_udp_t* socket, ssize_t got, const uv_buf_t* received,
                        const struct sockaddr* peer, unsigned flags) {
    (void)flags;
    if (got < 0 || peer == NULL) return;
    const uv_buf_t reply = uv_buf_init(received->base, (unsigned)got);
    (void)!uv_udp_try_send(socket, &reply, 1, peer);
}

int main(int argc, char** argv) {
    const int several = argc == 3 && strcmp(argv[2], "recvmmsg") == 0;
    if (argc != 2 && !several) {
        fprintf(stderr, "usage: %s PORT [recvmmsg]\n", argv[0]);
        return 2;
    }
    const int fd = bind_to(argv[1], SOCK_DGRAM);
    if (several) buffer_size = sizeof buffer;
    uv_loop_t* loop = uv_default_loop();
    uv_udp_t socket;
    uv_udp_init_ex(loop, &socket, several ? UV_UDP_RECVMMSG : 0);
    uv_udp_open(&socket, fd);
    if (uv_udp_recv_start(&socket, on_alloc, on_datagram) != 0) die("uv_udp_recv_start");
    announce(fd, argv[1]);
    return uv_run(loop, UV_RUN_DEFAULT);
}
