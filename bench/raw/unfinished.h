// SPDX-License-Identifier: MIT
// What the event loops by hand keep of a connection between two events: the beginning of a line,
// and what the client has not taken yet. Both have memory only while there is any.
#ifndef SOCKETSERVER_BENCH_RAW_UNFINISHED_H
#define SOCKETSERVER_BENCH_RAW_UNFINISHED_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { max_line = 1 << 20 };

struct unfinished {
    unsigned held, unsent;  // bytes of line, and of output
    char* line;
    char* output;
};

static inline void free_unfinished(struct unfinished* u) {
    free(u->line);
    free(u->output);
}

static inline bool keep_output(struct unfinished* u, const char* data, size_t size) {
    if (size == 0) return true;
    char* grown = (char*)realloc(u->output, u->unsent + size);
    if (grown == NULL) return false;
    memcpy(grown + u->unsent, data, size);
    u->output = grown;
    u->unsent += (unsigned)size;
    return true;
}

static inline void drop_output(struct unfinished* u, size_t sent) {
    u->unsent -= (unsigned)sent;
    if (u->unsent > 0) {
        memmove(u->output, u->output + sent, u->unsent);
    } else {
        free(u->output);
        u->output = NULL;
    }
}

static inline bool keep_line(struct unfinished* u, const char* data, size_t size) {
    if (size == 0) return true;
    char* grown = u->held + size > max_line ? NULL : (char*)realloc(u->line, u->held + size);
    if (grown == NULL) return false;
    memcpy(grown + u->held, data, size);
    u->line = grown;
    u->held += (unsigned)size;
    return true;
}

static inline void drop_line(struct unfinished* u) {
    free(u->line);
    u->line = NULL;
    u->held = 0;
}

#endif
