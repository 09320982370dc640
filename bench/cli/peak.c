/* peak COMMAND [ARG]... - runs it and prints the most memory it had resident, in KiB.
 *
 * A program of its own, because a process begins with the peak of the one that started it. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    struct rusage              usage;
    posix_spawn_file_actions_t actions;
    pid_t                      child;
    int                        status = 0;
    if (argc < 2) {
        (void)fputs("usage: peak COMMAND [ARG]...\n", stderr);
        return 2;
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawn(&child, argv[1], &actions, NULL, argv + 1, environ);
    if (failed != 0 || wait4(child, &status, 0, &usage) != child) {
        (void)fprintf(stderr, "peak: %s: %s\n", argv[1], strerror(failed != 0 ? failed : errno));
        return 2;
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)printf("%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
