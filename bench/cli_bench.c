/* cachekit run: the whole life of a process that answers from the cache, in the clear and sealed, against that of
 * /bin/true. All are started the same way on the same processor. */
#include "bench.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER "forty bytes, which stand in the cache..."
#define PEAKS 9u

typedef struct program {
    const char        *home;
    const char *const *words;
} program;

static void require(bool good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

/* ---- starting ----------------------------------------------------------------------------------------------- */

static pid_t start(const program *p, int out) {
    posix_spawn_file_actions_t actions;
    pid_t                      child;
    char                       home[300], path[] = "PATH=/usr/bin:/bin";
    char                      *environment[] = {home, path, NULL};
    (void)snprintf(home, sizeof home, "HOME=%s", p->home);
    require(posix_spawn_file_actions_init(&actions) == 0 && posix_spawn_file_actions_adddup2(&actions, out, 1) == 0,
            "actions");
    require(posix_spawn(&child, p->words[0], &actions, NULL, (char **)(uintptr_t)p->words, environment) == 0,
            p->words[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    return child;
}

static void finish(pid_t child, const char *what) {
    int status = 0;
    require(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, what);
}

static void run_program(void *context, unsigned thread, uint64_t operations) {
    const program *p = context;
    (void)thread;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    require(nowhere >= 0, "/dev/null");
    for (uint64_t i = 0; i < operations; i++) {
        finish(start(p, nowhere), p->words[0]);
    }
    (void)close(nowhere);
}

/* What it writes. */
static void read_answer(const program *p, char *text, size_t size) {
    int ends[2];
    require(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_t child = start(p, ends[1]);
    (void)close(ends[1]);
    size_t  used = 0;
    ssize_t got;
    while (used + 1 < size && (got = read(ends[0], text + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    text[used] = '\0';
    (void)close(ends[0]);
    finish(child, p->words[0]);
}

/* KiB, the median of some runs. */
static double peak_of(const program *p) {
    char   command[8192];
    int    used = snprintf(command, sizeof command, "env -i HOME='%s' PATH=/usr/bin:/bin '%s'", p->home, BENCH_PEAK);
    double peaks[PEAKS];
    for (const char *const *word = p->words; *word != NULL; word++) {
        used += snprintf(command + used, sizeof command - (size_t)used, " '%s'", *word);
    }
    for (unsigned i = 0; i < PEAKS; i++) {
        FILE *out = popen(command, "r");
        require(out != NULL && fscanf(out, "%lf", &peaks[i]) == 1 && pclose(out) == 0, command);
        for (unsigned j = i; j > 0 && peaks[j] < peaks[j - 1]; j--) {
            double higher = peaks[j - 1];
            peaks[j - 1] = peaks[j];
            peaks[j] = higher;
        }
    }
    return peaks[PEAKS / 2];
}

/* ---- the setting -------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about, (void)kind, (void)place;
    return remove(path);
}

/* Its second line says how often it ran. */
static const char script[] = "echo x >> \"$HOME/runs\"; echo \"" ANSWER "\"; wc -l < \"$HOME/runs\"";

static void check_hit(const program *p, const char *expected) {
    char first[128], second[128];
    read_answer(p, first, sizeof first);
    read_answer(p, second, sizeof second);
    require(strcmp(first, expected) == 0 && strcmp(second, first) == 0, "cachekit run does not answer from its cache");
}

/* Processes that move between processors cost more, and not always. */
static void stay_here(const cpu_set_t *allowed) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, allowed)) {
            CPU_SET(i, &one);
            break;
        }
    }
    (void)sched_setaffinity(0, sizeof one, &one);
}

BENCH_FAMILY(cli) {
    if (bench_is_counting(b)) {
        return;
    }
    const char *const plain_words[] = {BENCH_TOOL, "run", "--plain", "--ttl", "1h", "--", "sh", "-c", script, NULL};
    const char *const sealed_words[] = {BENCH_TOOL, "run", "--ttl", "1h", "--", "sh", "-c", script, NULL};
    const char *const true_words[] = {"/bin/true", NULL};
    const char       *base = getenv("TMPDIR");
    char              home[256];
    cpu_set_t         allowed;
    (void)snprintf(home, sizeof home, "%.200s/ckit-bench-XXXXXX", base == NULL ? "/tmp" : base);
    require(mkdtemp(home) != NULL, home);
    program plain = {home, plain_words}, sealed = {home, sealed_words}, nothing = {home, true_words};
    check_hit(&plain, ANSWER "\n1\n");
    check_hit(&sealed, ANSWER "\n2\n"); /* under a name of its own */
    require(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "processors");
    stay_here(&allowed);
    bench_work works[] = {{.name = "/bin/true", .run = run_program, .context = &nothing, .threads = 1},
                          {.name = "plain", .run = run_program, .context = &plain, .threads = 1},
                          {.name = "sealed", .run = run_program, .context = &sealed, .threads = 1}};
    bench_run(b, works, 3);
    (void)sched_setaffinity(0, sizeof allowed, &allowed);
    bench_row_added(b, "cli.run.hit", works[1].median / 1e6, "ms", "/bin/true", works[0].median / 1e6, 0.6);
    bench_row_added(b, "cli.run.hit.sealed", works[2].median / 1e6, "ms", "/bin/true", works[0].median / 1e6, 0.8);
    bench_row_bound(b, "cli.run.hit.rss", peak_of(&sealed) / 1024, "MiB", 4);
    (void)nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
