#include "bench/trace.h"

#include "support/output.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES 262144u
#define PATIENCE_MS 100 /* between looks at the stop flag, while a pipe is silent */

struct cli_trace {
    pthread_mutex_t  mutex; /* everything below */
    int              fd;
    bool             waits;   /* not a plain file: reading may wait */
    bool             is_last; /* nothing comes behind what is in the buffer */
    bool             ended;
    cli_trace_format format;
    uint64_t         left;   /* keys that may still be read */
    uint64_t         record; /* of the trace, from 1 on, for messages */
    size_t           at, length;
    char             failure[160];
    uint8_t          buffer[BUFFER_BYTES];
};

cli_trace *cli_trace_open(const char *path, cli_trace_format format, uint64_t limit) {
    struct stat about;
    bool        is_input = strcmp(path, "-") == 0;
    int         fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &about) != 0) {
        cli_error("the trace %s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    cli_trace *trace = S_ISDIR(about.st_mode) ? NULL : calloc(1, sizeof *trace);
    if (trace == NULL) {
        if (S_ISDIR(about.st_mode)) {
            cli_error("the trace %s is a directory: it must be a file", path);
        } else {
            (void)cli_no_memory();
        }
        if (!is_input) {
            (void)close(fd);
        }
        return NULL;
    }
    (void)pthread_mutex_init(&trace->mutex, NULL);
    trace->fd = fd;
    trace->waits = !S_ISREG(about.st_mode);
    trace->format = format;
    trace->left = limit;
    return trace;
}

void cli_trace_close(cli_trace *trace) {
    if (trace != NULL) {
        if (trace->fd != STDIN_FILENO) {
            (void)close(trace->fd);
        }
        (void)pthread_mutex_destroy(&trace->mutex);
        free(trace);
    }
}

const char *cli_trace_failure(const cli_trace *trace) { return trace->failure[0] == '\0' ? NULL : trace->failure; }

/* ---- bytes -------------------------------------------------------------------------------------------------- */

static void fail(cli_trace *trace, const char *what, const char *why) {
    (void)snprintf(trace->failure, sizeof trace->failure, "the trace %s %" PRIu64 "%s%s", what, trace->record + 1,
                   *why == '\0' ? "" : ": ", why);
    trace->ended = true;
}

/* False when there will be nothing to read, or when to stop. */
static bool wait_readable(const cli_trace *trace, const atomic_bool *stop) {
    struct pollfd fd = {.fd = trace->fd, .events = POLLIN};
    int           ready = 0;
    while (ready == 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
        ready = poll(&fd, 1, PATIENCE_MS);
        ready = ready < 0 && errno == EINTR ? 0 : ready;
    }
    return ready != 0;
}

/* More bytes behind those that are left. */
static void refill(cli_trace *trace, const atomic_bool *stop) {
    memmove(trace->buffer, trace->buffer + trace->at, trace->length - trace->at);
    trace->length -= trace->at;
    trace->at = 0;
    ssize_t got = -1;
    do {
        if (trace->waits && !wait_readable(trace, stop)) {
            return;
        }
        got = read(trace->fd, trace->buffer + trace->length, BUFFER_BYTES - trace->length);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0) {
        fail(trace, "cannot be read, at record", strerror(errno));
        return;
    }
    trace->length += (size_t)got;
    trace->is_last = got == 0;
}

/* ---- records ------------------------------------------------------------------------------------------------ */

/* Each takes one record from the bytes at hand. Answers its length there, 0 when it is not complete; `*key` is what it
 * says. */
static size_t take_line(cli_trace *trace, ckit_slice *key) {
    const uint8_t *start = trace->buffer + trace->at;
    size_t         there = trace->length - trace->at;
    const uint8_t *end = memchr(start, '\n', there);
    size_t         length = end != NULL ? (size_t)(end - start) : there;
    if (length > CLI_TRACE_KEY_MAX) {
        char limit[64];
        (void)snprintf(limit, sizeof limit, "its key is longer than %u bytes", CLI_TRACE_KEY_MAX);
        fail(trace, "is wrong in line", limit);
        return 0;
    }
    *key = ckit_slice_of(start, length);
    return end != NULL ? length + 1 : trace->is_last ? length : 0;
}

static size_t take_number(cli_trace *trace, char text[24], ckit_slice *key) {
    size_t   size = trace->format == CLI_TRACE_U32 ? 4 : 8;
    size_t   there = trace->length - trace->at;
    uint64_t number = 0;
    if (there < size) {
        if (trace->is_last && there > 0) {
            fail(trace, "ends inside of number", "");
        }
        return 0;
    }
    for (size_t i = size; i-- > 0;) {
        number = number << 8 | trace->buffer[trace->at + i];
    }
    int length = snprintf(text, 24, "%" PRIu64, number);
    *key = ckit_slice_of(text, (size_t)length);
    return size;
}

static bool add_key(cli_trace_batch *batch, ckit_slice key) {
    size_t used = batch->count == 0 ? 0 : batch->ends[batch->count - 1];
    if (batch->count == CLI_TRACE_BATCH || key.len > sizeof batch->bytes - used) {
        return false;
    }
    memcpy(batch->bytes + used, key.ptr, key.len);
    batch->ends[batch->count++] = (uint32_t)(used + key.len);
    return true;
}

/* Takes what the bytes at hand hold. True when more bytes are needed. */
static bool take_records(cli_trace *trace, cli_trace_batch *batch) {
    while (trace->left > 0 && !trace->ended) {
        char       text[24];
        ckit_slice key = {NULL, 0};
        size_t     length = trace->format == CLI_TRACE_KEYS ? take_line(trace, &key) : take_number(trace, text, &key);
        if (length == 0) {
            return !trace->ended;
        }
        if (key.len > 0) {
            if (!add_key(batch, key)) {
                return false;
            }
            trace->left--;
        }
        trace->at += length;
        trace->record++;
    }
    return false;
}

/* What is at hand goes first: whoever writes into a pipe may take its time. */
bool cli_trace_take(cli_trace *trace, cli_trace_batch *batch, const atomic_bool *stop) {
    batch->count = 0;
    (void)pthread_mutex_lock(&trace->mutex);
    while (batch->count == 0 && !trace->ended && trace->left > 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
        if (take_records(trace, batch) && batch->count == 0) {
            if (trace->is_last) {
                trace->ended = true;
            } else {
                refill(trace, stop);
            }
        }
    }
    (void)pthread_mutex_unlock(&trace->mutex);
    return batch->count > 0;
}
