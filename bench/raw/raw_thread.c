// SPDX-License-Identifier: MIT
// One detached thread per connection.
#include "common.h"

#include <pthread.h>
#include <stdint.h>

enum { stack_size = 256 * 1024 };

static void* serve(void* argument) {
    const int fd = (int)(intptr_t)argument;
    echo_lines(fd);
    close(fd);
    return NULL;
}

int main(int argc, char** argv) {
    const int listener = listen_on(argc, argv);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_size);
    for (;;) {
        const int fd = accept_next(listener);
        pthread_t thread;
        const int error = pthread_create(&thread, &attributes, serve, (void*)(intptr_t)fd);
        if (error != 0) {
            errno = error;
            die("pthread_create");
        }
    }
}
