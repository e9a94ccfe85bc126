// SPDX-License-Identifier: MIT
// Datagrams are sent back to where they came from. (On loopback recvmmsg() and sendmmsg() buy
// nothing, and cost with one datagram outstanding.)
#include "common.h"

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT|PATH|@NAME\n", argv[0]);
        return 2;
    }
    const int fd = bind_to(argv[1], SOCK_DGRAM);
    announce(fd, argv[1]);
    static char buffer[64 * 1024];
    for (;;) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        const ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr*)&peer, &size);
        if (got >= 0) (void)!sendto(fd, buffer, (size_t)got, 0, (struct sockaddr*)&peer, size);
    }
}
