#include "run/capture.h"

#include "run/child.h"
#include "support/clock.h"
#include "support/output.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 5000
#define READ_BYTES 65536

typedef struct capture {
    const run_capture_options *options;
    run_result                *result;
    run_signals                signals;
    run_child                  child;
    int                        ours[2]; /* where output goes on to: our streams, or non-blocking twins of them */
    bool                       keeping;
    int                        ended_by; /* a signal that came when there was nobody to forward it to; 0 = none */
    uint64_t                   ticked_ms;
} capture;

static void tick(capture *c) {
    uint64_t now = cli_now_ms();
    if (now - c->ticked_ms >= TICK_MS) {
        c->ticked_ms = now;
        if (c->options->tick != NULL) {
            c->options->tick(c->options->context);
        }
    }
}

/* ---- signals ------------------------------------------------------------------------------------------------ */

static bool ends_a_program(int number) {
    return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

static void reap(capture *c) {
    int status;
    if (run_child_reap(&c->child, &status)) {
        c->result->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        c->result->crashed = WIFSIGNALED(status);
    }
}

static void forward(capture *c, int number, bool terminal) {
    if (ends_a_program(number)) {
        c->result->interrupted = true;
        c->ended_by = c->child.pid == 0 ? number : c->ended_by;
    }
    run_child_signal(&c->child, number, terminal);
}

static void handle_signals(capture *c) {
    struct signalfd_siginfo info;
    while (read(c->signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD: reap(c); break;
        case SIGWINCH: run_child_resize(&c->child); break;
        default: forward(c, (int)info.ssi_signo, info.ssi_code == SI_KERNEL);
        }
    }
}

/* ---- output ------------------------------------------------------------------------------------------------- */

/* Our stream is gone, so the command's is too: the next write tells it, as it would have without us. */
static void close_stream(capture *c, int stream) {
    if (c->child.streams[stream] >= 0) {
        (void)close(c->child.streams[stream]);
        c->child.streams[stream] = -1;
    }
    c->result->interrupted = true;
}

/* A twin of our stream that does not block, where the system gives one: the flag of the stream itself belongs to
 * everybody who shares it. Files never block, and keep their place. */
static int open_ours(int fd) {
    struct stat st;
    char        path[32];
    if (fstat(fd, &st) != 0 || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))) {
        return fd;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int twin = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return twin >= 0 ? twin : fd;
}

static void close_ours(capture *c) {
    for (int i = 0; i < 2; i++) {
        if (c->ours[i] > 2) {
            (void)close(c->ours[i]);
        }
    }
}

/* Asked to end, and the command has: nobody waits for those who read us or for whom the command left behind. */
static bool is_over(const capture *c) { return c->ended_by != 0 || (c->result->interrupted && c->child.pid == 0); }

/* Waits until our stream takes more; signals are handled meanwhile, whoever reads us may be slow. */
static void wait_writable(capture *c, int fd) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT}, {.fd = c->signals.fd, .events = POLLIN}};
    while (poll(fds, 2, TICK_MS) >= 0 || errno == EINTR) {
        if (fds[1].revents != 0) {
            handle_signals(c);
        }
        tick(c);
        if (fds[0].revents != 0 || is_over(c)) {
            return;
        }
    }
}

static bool pass_on(capture *c, int stream, const uint8_t *bytes, size_t length) {
    int fd = c->ours[stream];
    for (size_t done = 0; done < length && c->ended_by == 0;) {
        /* What a pipe surely takes when it says that it takes something. */
        size_t  part = length - done < 4096 ? length - done : 4096;
        ssize_t put = write(fd, bytes + done, part);
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            if (errno != EPIPE) {
                cli_error("standard %s cannot be written: %s", stream == 0 ? "output" : "error", strerror(errno));
            }
            return false;
        }
        if (put < 0 && is_over(c)) {
            return false;
        }
        if (put < 0) {
            wait_writable(c, fd);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static void keep(capture *c, int stream, ckit_slice bytes) {
    run_output *output = &c->result->output;
    if (!c->keeping) {
        return;
    }
    c->result->too_large = output->bytes.len + bytes.len > c->options->max_output;
    c->result->no_memory = !c->result->too_large && run_output_add(output, stream + 1, bytes) != CKIT_OK;
    if (c->result->too_large || c->result->no_memory) {
        run_output_fini(output);
        c->result->too_large = true;
        c->keeping = false;
    }
}

static void read_stream(capture *c, const run_ready *ready) {
    uint8_t bytes[READ_BYTES];
    do {
        ssize_t got =
            c->child.streams[ready->stream] < 0 ? 0 : run_child_read(&c->child, ready->stream, bytes, sizeof bytes);
        if (got <= 0) {
            return;
        }
        keep(c, ready->stream, ckit_slice_of(bytes, (size_t)got));
        if (c->options->show && !pass_on(c, ready->stream, bytes, (size_t)got)) {
            close_stream(c, ready->stream);
            return;
        }
    } while (ready->ended && c->ended_by == 0);
}

/* ---- the run ------------------------------------------------------------------------------------------------ */

static bool is_under_way(const capture *c) {
    return !is_over(c) && (c->child.pid != 0 || c->child.streams[0] >= 0 || c->child.streams[1] >= 0);
}

/* What the command wrote before it ended. */
static void read_the_rest(capture *c) {
    for (int i = 0; i < 2 && c->ended_by == 0; i++) {
        run_ready rest = {.stream = i, .ended = true};
        read_stream(c, &rest);
    }
}

static void follow(capture *c) {
    c->ticked_ms = cli_now_ms();
    while (is_under_way(c)) {
        run_ready ready[RUN_READY_MAX];
        int       count = run_child_wait(&c->child, TICK_MS, ready);
        for (int i = 0; i < count; i++) {
            if (ready[i].stream == RUN_SIGNALS) {
                handle_signals(c);
            } else {
                read_stream(c, &ready[i]);
            }
        }
        tick(c);
    }
    if (c->ended_by != 0) {
        c->result->status = 128 + c->ended_by;
    } else if (c->result->interrupted) {
        read_the_rest(c);
    }
}

void run_capture(const run_capture_options *options, run_result *result) {
    capture c = {.options = options, .result = result, .ours = {1, 2}, .keeping = options->keep};
    bool    executing = false;
    *result = (run_result){.status = CLI_RUN_FAILED};
    int failed = run_signals_open(&c.signals);
    if (failed != 0) {
        cli_error("signals cannot be followed: %s", strerror(failed));
        return;
    }
    failed = run_child_start(&c.child, options->argv, options->stdin_fd, options->tty, &c.signals, &executing);
    if (failed == 0) {
        result->started = true;
        c.ours[0] = options->show ? open_ours(1) : 1;
        c.ours[1] = options->show ? open_ours(2) : 2;
        follow(&c);
        close_ours(&c);
    } else {
        cli_error("%s: %s", options->argv[0], executing && failed == ENOENT ? "command not found" : strerror(failed));
        if (c.child.pid > 0) {
            (void)waitpid(c.child.pid, NULL, 0);
        }
        result->status = !executing ? CLI_RUN_FAILED : failed == ENOENT ? 127 : 126;
    }
    run_child_close(&c.child);
    run_signals_close(&c.signals);
}

bool run_show(const run_output *output) {
    const run_piece *pieces = (const run_piece *)(const void *)output->pieces.ptr;
    const uint8_t   *at = output->bytes.ptr;
    for (size_t i = 0; i < output->pieces.len / sizeof *pieces; at += pieces[i++].length) {
        for (size_t done = 0; done < pieces[i].length;) {
            ssize_t put = write(pieces[i].stream, at + done, pieces[i].length - done);
            if (put < 0 && errno == EAGAIN) {
                struct pollfd fd = {.fd = pieces[i].stream, .events = POLLOUT};
                (void)poll(&fd, 1, -1);
            } else if (put < 0 && errno != EINTR) {
                if (errno != EPIPE) {
                    cli_error("standard %s cannot be written: %s", pieces[i].stream == 1 ? "output" : "error",
                              strerror(errno));
                }
                return false;
            }
            done += put > 0 ? (size_t)put : 0;
        }
    }
    return true;
}
