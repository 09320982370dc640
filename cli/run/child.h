/* child.h - the command as a process: started, its output read in the order in which it was written. */
#ifndef CKIT_CLI_RUN_CHILD_H
#define CKIT_CLI_RUN_CHILD_H

#include <cachekit/types.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct run_child {
    pid_t pid;        /* 0 = none, or ended and reaped */
    int   streams[2]; /* where its standard output and error are read, non-blocking; -1 = at its end. With a
                         pseudo-terminal both are in the first */
    int   slave;      /* the command's side of the pseudo-terminal, while the command runs; -1 = none */
    int   poll_fd;    /* epoll; tells the streams in the order in which they were written to */
    bool  tty;
    bool  one_write; /* a stream holds one write at a time, so the order of both is exact */
} run_child;

/* What a process must undo that blocked signals to read them from a descriptor. */
typedef struct run_signals {
    int              fd; /* signalfd */
    sigset_t         before;
    struct sigaction pipe_before, child_before;
} run_signals;

/* Blocks the signals that are forwarded (not those that somebody had us ignore, like nohup), and SIGCHLD; SIGPIPE is
 * ignored. 0, or the system's error. */
int  run_signals_open(run_signals *signals);
void run_signals_close(run_signals *signals);

/* Starts the command. `stdin_fd` -1 = /dev/null. 0, or the system's error: the command cannot be executed
 * (`*executing`), or something before that failed. */
int run_child_start(run_child *child, char **argv, int stdin_fd, bool tty, const run_signals *signals, bool *executing);
void run_child_close(run_child *child);

/* Passes the size of our terminal on to the pseudo-terminal; without one it has 80 columns and 24 lines. */
void run_child_resize(const run_child *child);
/* Hands a signal on that came to us, with `terminal` from our terminal: to the command, or to all that the
 * pseudo-terminal would have sent it to. */
void run_child_signal(const run_child *child, int number, bool terminal);
/* Looks whether the command has ended, and gives its status as waitpid does. */
bool run_child_reap(run_child *child, int *status);

/* Something to look at. */
typedef struct run_ready {
    int  stream; /* RUN_SIGNALS: signals wait in their descriptor */
    bool ended;  /* nobody can write to it any more: read it to its end, it is not told again */
} run_ready;
#define RUN_SIGNALS 2
#define RUN_READY_MAX 3

/* Waits at most `timeout_ms` and tells what can be read now, in the order in which it came. Returns how many of `ready`
 * were filled; 0 also when a signal got in between. */
int run_child_wait(const run_child *child, int timeout_ms, run_ready ready[RUN_READY_MAX]);
/* Reads what one write of the command left: at most `size` bytes. 0 = the stream has ended, -1 = nothing there now. */
ssize_t run_child_read(run_child *child, int stream, uint8_t *bytes, size_t size);

#endif
