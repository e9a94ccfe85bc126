// SPDX-License-Identifier: MIT
// One accept loop: a connection is served to its end before the next one is accepted.
#include "common.h"

int main(int argc, char** argv) {
    const int listener = listen_on(argc, argv);
    for (;;) {
        const int fd = accept_next(listener);
        echo_lines(fd);
        close(fd);
    }
}
