/* The order of standard output and standard error is exact, not a guess: each stream is a pipe that holds one write at
 * a time (one page, packet mode), so a command cannot write again before the first write was read, and epoll tells
 * descriptors in the order in which they became readable. Commands that reopen their streams get ordinary pipes. */
#include "run/child.h"

#include "support/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

static void close_fd(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* ---- signals ------------------------------------------------------------------------------------------------ */

int run_signals_open(run_signals *signals) {
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    struct sigaction       now;
    sigset_t               set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++) {
        if (sigaction(forwarded[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN) {
            (void)sigaddset(&set, forwarded[i]);
        }
    }
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) {
        return errno;
    }
    (void)sigprocmask(SIG_BLOCK, &set, &signals->before);
    (void)sigaction(SIGPIPE, &ignore, &signals->pipe_before);
    (void)sigaction(SIGCHLD, &normal, &signals->child_before);
    return 0;
}

static void restore_signals(const run_signals *signals) {
    (void)sigaction(SIGPIPE, &signals->pipe_before, NULL);
    (void)sigaction(SIGCHLD, &signals->child_before, NULL);
    (void)sigprocmask(SIG_SETMASK, &signals->before, NULL);
}

void run_signals_close(run_signals *signals) {
    restore_signals(signals);
    (void)close(signals->fd);
}

/* ---- the environment ---------------------------------------------------------------------------------------- */

/* Keys, tokens and passwords for stores are nothing a command should see; an URL may hold one. */
static bool is_secret(const char *variable) {
    static const char *const words[] = {"KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "_URL", "_SERVERS"};
    const char              *end = strchr(variable, '=');
    size_t                   length = end == NULL ? strlen(variable) : (size_t)(end - variable);
    if (strncmp(variable, "CACHEKIT_", 9) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *found = strstr(variable, words[i]);
        if (found != NULL && found < variable + length) {
            return true;
        }
    }
    return false;
}

/* In the child: its environment is a copy already. Nobody can turn the pages of a pager that writes to us. */
static void prepare_environment(bool tty) {
    static const char *const pagers[] = {"PAGER", "GIT_PAGER", "MANPAGER", "SYSTEMD_PAGER"};
    char                   **to = environ;
    for (char **from = environ; *from != NULL; from++) {
        if (!is_secret(*from)) {
            *to++ = *from;
        }
    }
    *to = NULL;
    for (size_t i = 0; tty && i < sizeof pagers / sizeof *pagers; i++) {
        (void)setenv(pagers[i], "cat", 1);
    }
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

static int set_nonblocking(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/* A kernel that has no packet mode or no small pipes gives an ordinary one: the order is then nearly exact. */
static int open_pipe(run_child *child, int stream, int *write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_DIRECT) != 0 && pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    int page = (int)sysconf(_SC_PAGESIZE);
    child->one_write = fcntl(ends[0], F_SETPIPE_SZ, page) == page && (stream == 0 || child->one_write);
    child->streams[stream] = ends[0];
    *write_end = ends[1];
    return set_nonblocking(ends[0]) != 0 ? errno : 0;
}

/* The first of our standard streams that is a terminal; -1 = none. */
static int our_terminal(void) {
    static const int order[] = {1, 2, 0};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (isatty(order[i]) == 1) {
            return order[i];
        }
    }
    return -1;
}

void run_child_resize(const run_child *child) {
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int            terminal = our_terminal();
    if (terminal >= 0) {
        (void)ioctl(terminal, TIOCGWINSZ, &size);
    }
    if (child->tty) {
        (void)ioctl(child->streams[0], TIOCSWINSZ, &size);
    }
}

/* Output arrives as the command wrote it: our own terminal turns line ends into its own. */
static void prepare_terminal(int slave) {
    struct termios settings;
    int            terminal = our_terminal();
    if ((terminal >= 0 && tcgetattr(terminal, &settings) == 0) || tcgetattr(slave, &settings) == 0) {
        settings.c_oflag &= ~(tcflag_t)OPOST;
        settings.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(slave, TCSANOW, &settings);
    }
}

static int open_terminal(run_child *child) {
    char name[64];
    int  master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    child->streams[0] = master;
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, name, sizeof name) != 0) {
        return errno;
    }
    child->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (child->slave < 0) {
        return errno;
    }
    prepare_terminal(child->slave);
    run_child_resize(child);
    return set_nonblocking(master) != 0 ? errno : 0;
}

static int open_streams(run_child *child, int write_ends[2]) {
    if (child->tty) {
        return open_terminal(child);
    }
    int failed = open_pipe(child, 0, &write_ends[0]);
    return failed != 0 ? failed : open_pipe(child, 1, &write_ends[1]);
}

static int watch(const run_child *child, int fd, uint32_t events, int stream) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)stream};
    return fd < 0 ? 0 : epoll_ctl(child->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Edge-triggered epoll tells the order of writes, but each only once; so it is for streams that hold one. */
static int watch_all(run_child *child, const run_signals *signals) {
    uint32_t events = child->one_write ? EPOLLIN | EPOLLET : EPOLLIN;
    child->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    return child->poll_fd < 0 || watch(child, signals->fd, EPOLLIN, RUN_SIGNALS) != 0 ||
                   watch(child, child->streams[0], events, 0) != 0 || watch(child, child->streams[1], events, 1) != 0
               ? errno
               : 0;
}

/* ---- the process -------------------------------------------------------------------------------------------- */

/* Makes the streams of the command our own, and the pseudo-terminal the one that controls us. */
static bool take_streams(const run_child *child, int stdin_fd, const int write_ends[2]) {
    if (child->tty && (setsid() < 0 || ioctl(child->slave, TIOCSCTTY, 0) != 0)) {
        return false;
    }
    return dup2(stdin_fd, 0) >= 0 && dup2(child->tty ? child->slave : write_ends[0], 1) >= 0 &&
           dup2(child->tty ? child->slave : write_ends[1], 2) >= 0;
}

/* Reports through `report` what went wrong, if anything. */
static _Noreturn void become(const run_child *child, char **argv, int stdin_fd, const int write_ends[2], int report,
                             const run_signals *signals) {
    if (take_streams(child, stdin_fd, write_ends)) {
        prepare_environment(child->tty);
        restore_signals(signals);
        cli_output_undo();
        (void)execvp(argv[0], argv);
    }
    int failed = errno;
    (void)!write(report, &failed, sizeof failed);
    _exit(127);
}

static int start(run_child *child, char **argv, int stdin_fd, const int write_ends[2], const run_signals *signals,
                 bool *executing) {
    int report[2];
    int failed = 0;
    if (pipe2(report, O_CLOEXEC) != 0) {
        return errno;
    }
    child->pid = fork();
    if (child->pid == 0) {
        become(child, argv, stdin_fd, write_ends, report[1], signals);
    }
    failed = child->pid < 0 ? errno : 0;
    (void)close(report[1]);
    if (child->pid > 0) {
        ssize_t got;
        do {
            got = read(report[0], &failed, sizeof failed);
        } while (got < 0 && errno == EINTR);
        *executing = got == (ssize_t)sizeof failed;
    }
    (void)close(report[0]);
    return failed;
}

int run_child_start(run_child *child, char **argv, int stdin_fd, bool tty, const run_signals *signals,
                    bool *executing) {
    int write_ends[2] = {-1, -1};
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    *child = (run_child){.streams = {-1, -1}, .slave = -1, .poll_fd = -1, .tty = tty};
    *executing = false;
    int failed = nothing < 0 ? errno : open_streams(child, write_ends);
    if (failed == 0) {
        failed = watch_all(child, signals);
    }
    if (failed == 0) {
        failed = start(child, argv, stdin_fd >= 0 ? stdin_fd : nothing, write_ends, signals, executing);
    }
    close_fd(&nothing);
    close_fd(&write_ends[0]);
    close_fd(&write_ends[1]);
    return failed;
}

void run_child_close(run_child *child) {
    close_fd(&child->streams[0]);
    close_fd(&child->streams[1]);
    close_fd(&child->slave);
    close_fd(&child->poll_fd);
}

bool run_child_reap(run_child *child, int *status) {
    if (child->pid == 0 || waitpid(child->pid, status, WNOHANG) <= 0) {
        return false;
    }
    child->pid = 0;
    close_fd(&child->slave); /* not before: a terminal that nobody holds would be at its end, and hang the command up */
    return true;
}

void run_child_signal(const run_child *child, int number, bool terminal) {
    pid_t group = child->tty && terminal ? tcgetpgrp(child->streams[0]) : -1;
    /* Without a terminal of its own it has got it from ours; but a hang-up goes to the session's leader alone. */
    if (child->pid > 0 && (child->tty || !terminal || number == SIGHUP)) {
        (void)kill(group > 0 ? -group : child->pid, number);
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

int run_child_wait(const run_child *child, int timeout_ms, run_ready ready[RUN_READY_MAX]) {
    struct epoll_event events[RUN_READY_MAX];
    int                count = epoll_wait(child->poll_fd, events, RUN_READY_MAX, timeout_ms);
    for (int i = 0; i < count; i++) {
        ready[i].stream = (int)events[i].data.u32;
        ready[i].ended = (events[i].events & EPOLLHUP) != 0;
    }
    return count < 0 ? 0 : count;
}

/* The command has made room for more than one write: what waits must be told again from now on. */
static void expect_many_writes(run_child *child) {
    child->one_write = false;
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (child->streams[i] >= 0) {
            (void)epoll_ctl(child->poll_fd, EPOLL_CTL_MOD, child->streams[i], &event);
        }
    }
}

ssize_t run_child_read(run_child *child, int stream, uint8_t *bytes, size_t size) {
    ssize_t got;
    if (child->one_write && fcntl(child->streams[stream], F_GETPIPE_SZ) > (int)sysconf(_SC_PAGESIZE)) {
        expect_many_writes(child);
    }
    do {
        got = read(child->streams[stream], bytes, size);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        return -1;
    }
    if (got <= 0) { /* its end; a pseudo-terminal says EIO */
        close_fd(&child->streams[stream]);
        return 0;
    }
    return got;
}
