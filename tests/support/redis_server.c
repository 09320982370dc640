#include "support/redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TRIES 6000 /* of 10 ms */

static bool fail(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool fail(char *why, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
    return false;
}

/* ---- its place --------------------------------------------------------------------------------------------------- */

int redis_server_hold_port(uint16_t *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof name;
    int                on = 1;
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
         bind(fd, (struct sockaddr *)&name, len) != 0 || getsockname(fd, (struct sockaddr *)&name, &len) != 0)) {
        close(fd);
        fd = -1;
    }
    *port = fd < 0 ? 0 : ntohs(name.sin_port);
    return fd;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* The path of a UNIX socket is short, so not under the scratch directory of the build. */
static bool make_place(redis_server *server, char *why, size_t size) {
    snprintf(server->dir, sizeof server->dir, "/tmp/ckit-redis-XXXXXX");
    if (mkdtemp(server->dir) == NULL) {
        return fail(why, size, "%s: %s", server->dir, strerror(errno));
    }
    snprintf(server->socket, sizeof server->socket, "%s/socket", server->dir);
    snprintf(server->unix_url, sizeof server->unix_url, "unix://%s", server->socket);
    const char *path = server->clock_path;
    if (path[0] == '\0') {
        snprintf(server->clock_path, sizeof server->clock_path, "%s/clock", server->dir);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 8) != 0) {
        return fail(why, size, "%s: %s", path, strerror(errno));
    }
    void *mapped = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    server->clock_us = mapped == MAP_FAILED ? NULL : mapped;
    return true;
}

/* ---- starting and stopping --------------------------------------------------------------------------------------- */

static void exec_with(const char **args, const char *clock) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#ifdef CKIT_SERVER_CLOCK
    if (access(CKIT_SERVER_CLOCK, R_OK) == 0) {
        setenv("LD_PRELOAD", CKIT_SERVER_CLOCK, 1);
        setenv("CKIT_SERVER_CLOCK_FILE", clock, 1);
    }
#else
    (void)clock;
#endif
    execvp(args[0], (char *const *)(uintptr_t)args);
    _exit(127);
}

static void run(const redis_server *server) {
    char        port[8], log[160], tls_port[8], files[3][540];
    const char *args[64] = {"redis-server",
                            "--port",
                            port,
                            "--bind",
                            "127.0.0.1",
                            "--unixsocket",
                            server->socket,
                            "--save",
                            "",
                            "--appendonly",
                            "no",
                            "--dir",
                            server->dir,
                            "--logfile",
                            log,
                            "--daemonize",
                            "no",
                            "--protected-mode",
                            "no"};
    size_t      count = 19;
    snprintf(port, sizeof port, "%u", server->port);
    snprintf(log, sizeof log, "%s/log", server->dir);
    if (server->tls_port != 0) {
        static const char *const names[] = {"server.pem", "server.key", "ca.pem"};
        static const char *const options[] = {"--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"};
        snprintf(tls_port, sizeof tls_port, "%u", server->tls_port);
        args[count++] = "--tls-port";
        args[count++] = tls_port;
        args[count++] = "--tls-auth-clients";
        args[count++] = "no";
        for (size_t i = 0; i < 3; i++) {
            snprintf(files[i], sizeof files[i], "%s/%s", server->certificates, names[i]);
            args[count++] = options[i];
            args[count++] = files[i];
        }
    }
    for (size_t i = 0; server->arguments != NULL && server->arguments[i] != NULL && count < 62; i++) {
        args[count++] = server->arguments[i];
    }
    if (server->sentinel) { /* the file comes first */
        char config[160];
        snprintf(config, sizeof config, "%s/sentinel.conf", server->dir);
        memmove(args + 3, args + 1, count * sizeof args[0]);
        args[1] = config;
        args[2] = "--sentinel";
        exec_with(args, server->clock_path);
    }
    exec_with(args, server->clock_path);
}

static bool answers(redis_server *server) {
    char        answer[256];
    const char *got = redis_server_tell(server, "PING", answer);
    return got[0] == '+' || got[0] == '-';
}

static bool launch(redis_server *server, char *why, size_t size) {
    server->owner = getpid();
    server->pid = fork();
    if (server->pid < 0) {
        server->pid = 0;
        return fail(why, size, "fork: %s", strerror(errno));
    }
    if (server->pid == 0) {
        run(server);
    }
    for (int i = 0; i < START_TRIES; i++) {
        int status;
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            server->pid = 0;
            return fail(why, size,
                        WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "redis-server is not installed"
                                                                        : "redis-server ended at once");
        }
        if (answers(server)) {
            return true;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return fail(why, size, "redis-server does not answer");
}

static bool launch_anywhere(redis_server *server, char *why, size_t size) {
    server->owner = getpid();
    server->held[0] = redis_server_hold_port(&server->port);
    server->held[1] = server->certificates[0] != '\0' ? redis_server_hold_port(&server->tls_port) : -1;
    snprintf(server->url, sizeof server->url, "redis://127.0.0.1:%u/0", server->port);
    if (launch(server, why, size)) {
        return true;
    }
    redis_server_stop(server);
    return false;
}

bool redis_server_start(redis_server *server, const char *const *arguments, char *why, size_t size) {
    memset(server, 0, sizeof *server);
    server->arguments = arguments;
    return make_place(server, why, size) && launch_anywhere(server, why, size);
}

bool redis_server_start_beside(redis_server *server, const redis_server *other, const char *const *arguments, char *why,
                               size_t size) {
    memset(server, 0, sizeof *server);
    server->arguments = arguments;
    memcpy(server->clock_path, other->clock_path, sizeof server->clock_path);
    return make_place(server, why, size) && launch_anywhere(server, why, size);
}

bool redis_server_start_sentinel(redis_server *server, const char *lines, char *why, size_t size) {
    char path[160];
    memset(server, 0, sizeof *server);
    server->sentinel = true;
    if (!make_place(server, why, size)) {
        return false;
    }
    snprintf(path, sizeof path, "%s/sentinel.conf", server->dir);
    FILE *file = fopen(path, "we");
    bool  written = file != NULL && fputs(lines, file) >= 0;
    if (file == NULL || fclose(file) != 0 || !written) {
        return fail(why, size, "%s: %s", path, strerror(errno));
    }
    return launch_anywhere(server, why, size);
}

bool redis_server_start_tls(redis_server *server, const char *certificates, const char *const *arguments, char *why,
                            size_t size) {
    memset(server, 0, sizeof *server);
    server->arguments = arguments;
    snprintf(server->certificates, sizeof server->certificates, "%s", certificates);
    return make_place(server, why, size) && launch_anywhere(server, why, size);
}

void redis_server_kill(redis_server *server) {
    if (server->pid > 0 && server->owner == getpid()) {
        kill(server->pid, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    server->pid = 0;
}

bool redis_server_restart(redis_server *server, char *why, size_t size) {
    redis_server_kill(server);
    return launch(server, why, size);
}

void redis_server_stop(redis_server *server) {
    if (server->owner != getpid()) {
        return;
    }
    redis_server_kill(server);
    for (size_t i = 0; i < 2; i++) {
        if (server->held[i] > 0) {
            close(server->held[i]);
            server->held[i] = 0;
        }
    }
    if (server->clock_us != NULL) {
        munmap(server->clock_us, 8);
        server->clock_us = NULL;
    }
    if (server->dir[0] != '\0') {
        nftw(server->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        server->dir[0] = '\0';
    }
}

void redis_server_freeze(redis_server *server) {
    siginfo_t stopped;
    kill(server->pid, SIGSTOP); /* which lets it run on for a moment */
    waitid(P_PID, (id_t)server->pid, &stopped, WSTOPPED | WEXITED | WNOWAIT);
}

void redis_server_thaw(redis_server *server) { kill(server->pid, SIGCONT); }

/* ---- a word with it ---------------------------------------------------------------------------------------------- */

static int say(redis_server *server, const char *line) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char               text[512];
    int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", server->socket);
    int len = snprintf(text, sizeof text, "%s\r\n", line);
    if (fd >= 0 &&
        (connect(fd, (struct sockaddr *)&name, sizeof name) != 0 || send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

const char *redis_server_tell(redis_server *server, const char *line, char answer[256]) {
    size_t  got = 0;
    ssize_t n;
    int     fd = say(server, line);
    while (fd >= 0 && got < 255 && memchr(answer, '\n', got) == NULL &&
           (n = recv(fd, answer + got, 255 - got, 0)) > 0) {
        got += (size_t)n;
    }
    if (fd >= 0) {
        close(fd);
    }
    answer[got] = '\0';
    answer[strcspn(answer, "\r\n")] = '\0';
    return answer;
}

const char *redis_server_ask(redis_server *server, const char *line, char *answer, size_t size) {
    char  header[32] = "";
    char *end = answer;
    int   fd = say(server, line);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    if (in != NULL && fgets(header, sizeof header, in) != NULL && header[0] == '$' && atol(header + 1) > 0) {
        size_t len = (size_t)atol(header + 1);
        end += fread(answer, 1, len < size ? len : size - 1, in);
    }
    if (in != NULL) {
        fclose(in);
    }
    *end = '\0';
    return answer;
}
