// SPDX-License-Identifier: MIT
// One forked child per connection. It is C++ and linked with the libraries that the library's own
// server is linked with, because what a fork costs grows with what the process has mapped.
#include "common.h"

#include <sys/wait.h>

#include <cerrno>

int main(int argc, char** argv) {
    const int listener = listen_on(argc, argv);
    for (;;) {
        const int fd = accept_next(listener);
        const pid_t child = fork();
        if (child < 0) die("fork");
        if (child == 0) {
            close(listener);
            echo_lines(fd);
            _exit(0);
        }
        close(fd);
        // Ignoring SIGCHLD would be cheaper, but then nobody could tell what the children cost.
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
    }
}
