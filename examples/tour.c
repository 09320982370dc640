/* tour.c - watch a slow function become fast: `make quickstart` ends with this program.
 *
 * It digests the files under /usr/share/doc (tour_digest.h, tour_files.h) through ckit_call, three times over: the
 * first pass computes, the second finds everything in memory, the third is a new process that finds everything in
 * files. If a Redis server answers on this machine, or at the URL that is its argument, some of them go through it too
 * (tour_redis.h). It believes neither itself nor the library: answers are counted by the source that each value names
 * and by the cache's statistics, and a checksum over all results must be the same in all passes. Exit code 0 only if
 * all that holds. */
#include "tour_digest.h"
#include "tour_files.h"
#include "tour_redis.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define AGAIN "--in-a-new-process" /* how the tour starts itself for the third pass; followed by its directory */

typedef struct tour {
    char           directory[PATH_MAX]; /* holds the store and the list of files */
    char           store[PATH_MAX];
    char           list[PATH_MAX];
    tour_files     files;
    ckit_cache    *cache;
    ckit_function *digest;
    bool           progress;
} tour;

/* How many answers came from where. */
typedef struct tally {
    uint64_t function;
    uint64_t memory;
    uint64_t files;
} tally;

typedef struct pass {
    tally    said;    /* by the source that each value names */
    tally    counted; /* by the cache's statistics */
    uint64_t failed;
    uint64_t checksum; /* over all results, in order */
    uint64_t ns;
} pass;

/* ---- interruption, time, terminal --------------------------------------------------------------------------- */

static volatile sig_atomic_t stop; /* the signal that asks for an end */

static void on_signal(int number) { stop = number; }

/* Also SIGPIPE: whatever happens to the output, the directory is removed. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: waiting ends */
    const int        numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool wants_colour(int fd) {
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(fd) && (no_colour == NULL || *no_colour == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
}

static void show_progress(const tour *t, size_t done) {
    const bool bold = wants_colour(STDERR_FILENO);
    fprintf(stderr, "\r%sfirst pass: %zu of %zu files%s", bold ? "\033[1m" : "", done, t->files.count,
            bold ? "\033[0m" : "");
}

static void hide_progress(const tour *t) {
    if (t->progress) {
        fprintf(stderr, "\r%60s\r", "");
    }
}

/* ---- the cache ------------------------------------------------------------------------------------------------ */

/* By hand instead of by URL: no setting of the environment has a say in the tour. */
static ckit_status open_cache(tour *t, ckit_error *err) {
    ckit_backend     *store = NULL;
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    options.directory = t->store;
    options.sync = CKIT_FILE_SYNC_NONE; /* nothing here outlives the tour, so no write waits for the disk */
    ckit_status st = ckit_file_open(&options, NULL, &store, err);
    if (st == CKIT_OK) {
        st = ckit_cache_new(NULL, store, &t->cache, err);
    }
    if (st == CKIT_OK) {
        st = ckit_function_new(t->cache, "tour.digest", tour_digest, NULL, NULL, &t->digest, err);
    }
    return st;
}

static tally counted_so_far(const tour *t) {
    ckit_cache_stats stats = {.struct_size = sizeof stats};
    ckit_cache_get_stats(t->cache, &stats);
    return (tally){.function = stats.computed, .memory = stats.l1_hits, .files = stats.l2_hits};
}

/* ---- one pass -------------------------------------------------------------------------------------------------- */

static void note(pass *p, const ckit_value *value) {
    p->said.function += value->source == CKIT_SOURCE_FUNCTION;
    p->said.memory += value->source == CKIT_SOURCE_MEMORY;
    p->said.files += value->source == CKIT_SOURCE_STORE;
    p->checksum = XXH3_64bits_withSeed(value->data.ptr, value->data.len, p->checksum);
}

static ckit_status call(tour *t, const tour_file *file, pass *p, ckit_error *err) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_bytes(&args, ckit_slice_str(file->path)); /* bytes: not every file name is UTF-8 */
    ckit_args_uint(&args, file->size);
    ckit_args_int(&args, file->mtime_ns);
    ckit_status st = ckit_call(t->digest, &args, &value, err);
    if (st == CKIT_OK) {
        note(p, &value);
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return st;
}

/* Calls the function for every file. A file that fails is marked by an empty path, to be dropped. */
static pass run_pass(tour *t) {
    pass     p = {.failed = 0};
    tally    before = counted_so_far(t);
    uint64_t start = now_ns();
    for (size_t i = 0; i < t->files.count && !stop; i++) {
        tour_file *file = &t->files.files[i];
        if (call(t, file, &p, NULL) != CKIT_OK) {
            file->path[0] = '\0';
            p.failed++;
        }
        if (t->progress && i % 16 == 0) {
            show_progress(t, i);
        }
    }
    p.ns = now_ns() - start;
    tally after = counted_so_far(t);
    p.counted = (tally){after.function - before.function, after.memory - before.memory, after.files - before.files};
    return p;
}

/* ---- the third pass: a process of its own ------------------------------------------------------------------- */

static bool set_directory(tour *t, const char *directory) {
    int a = snprintf(t->directory, sizeof t->directory, "%s", directory);
    int b = snprintf(t->store, sizeof t->store, "%s/store", directory);
    int c = snprintf(t->list, sizeof t->list, "%s/list", directory);
    return a > 0 && b > 0 && c > 0 && (size_t)b < sizeof t->store && (size_t)c < sizeof t->list;
}

#define PASS_FORMAT                                                                                                    \
    "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n"
#define PASS_SCAN                                                                                                      \
    "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64

/* The new process: knows the directory and nothing else, and tells what it saw in one line. */
static int in_a_new_process(tour *t, const char *directory) {
    ckit_error err = CKIT_ERROR_INIT;
    bool       fine = set_directory(t, directory) && tour_files_load(&t->files, t->list);
    if (fine && open_cache(t, &err) == CKIT_OK) {
        pass p = run_pass(t);
        printf(PASS_FORMAT, p.said.function, p.said.memory, p.said.files, p.counted.function, p.counted.memory,
               p.counted.files, p.failed, p.checksum, p.ns);
    } else {
        fprintf(stderr, "the new process cannot open the cache: %s\n", err.text);
        fine = false;
    }
    ckit_function_close(t->digest);
    ckit_cache_close(t->cache);
    tour_files_fini(&t->files);
    return fine && !stop ? 0 : 1;
}

/* Starts this program again with its output in a pipe. The descriptor to read, or -1. */
static int start_again(const tour *t, pid_t *child) {
    char                       name[] = "tour";
    char                       again[] = AGAIN;
    char                       directory[PATH_MAX];
    char                      *arguments[] = {name, again, directory, NULL};
    posix_spawn_file_actions_t actions;
    int                        ends[2];
    memcpy(directory, t->directory, sizeof directory);
    if (pipe(ends) != 0) {
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int failed = posix_spawn(child, "/proc/self/exe", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static bool run_in_a_new_process(const tour *t, pass *p) {
    char   line[512];
    size_t len = 0;
    pid_t  child = 0;
    int    status = 0;
    int    fd = start_again(t, &child);
    if (fd < 0) {
        return false;
    }
    for (ssize_t got = 1; got != 0 && len < sizeof line - 1;) {
        got = read(fd, line + len, sizeof line - 1 - len);
        if (got < 0 && errno == EINTR) {
            kill(child, SIGTERM); /* we were told to end, so it is too */
            continue;
        }
        len += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    line[len] = '\0';
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
           sscanf(line, PASS_SCAN, &p->said.function, &p->said.memory, &p->said.files, &p->counted.function,
                  &p->counted.memory, &p->counted.files, &p->failed, &p->checksum, &p->ns) == 9;
}

/* ---- what is printed ------------------------------------------------------------------------------------------- */

static const char *duration(double ns, char text[32]) {
    const char *units[] = {"ns", "us", "ms", "s"};
    unsigned    unit = 0;
    for (; unit < 3 && ns >= 999.5; unit++) {
        ns /= 1000;
    }
    snprintf(text, 32, ns < 10 ? "%.2f %s" : ns < 100 ? "%.1f %s" : "%.0f %s", ns, units[unit]);
    return text;
}

static void print_row(const char *name, const pass *p, const pass *first, size_t calls) {
    char   whole[32];
    char   one[32];
    double speed_up = (double)first->ns / (double)(p->ns == 0 ? 1 : p->ns);
    printf("  %-20s %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %9s %9s %8.*fx\n", name, p->counted.function,
           p->counted.memory, p->counted.files, duration((double)p->ns, whole),
           duration((double)p->ns / (double)calls, one), speed_up < 10 ? 1 : 0, speed_up);
}

static void print_table(const tour *t, const pass passes[3]) {
    const bool bold = wants_colour(STDOUT_FILENO);
    printf("\n%s  %-20s %8s %8s %7s %9s %9s %9s%s\n", bold ? "\033[1m" : "", "pass, answers from:", "function",
           "memory", "files", "time", "per call", "speed-up", bold ? "\033[0m" : "");
    print_row("first", &passes[0], &passes[0], t->files.count);
    print_row("second, same process", &passes[1], &passes[0], t->files.count);
    print_row("third, new process", &passes[2], &passes[0], t->files.count);
}

static void print_sizes(const tour *t) {
    ckit_cache_stats stats = {.struct_size = sizeof stats};
    ckit_health      health;
    ckit_cache_get_stats(t->cache, &stats);
    ckit_cache_health(t->cache, &health);
    printf("\n  Stored: %" PRIu64 " results in memory (%.2f MB with all bookkeeping), %" PRIu64
           " in files (%.2f MB).\n",
           stats.l1_entries, (double)stats.l1_used_bytes / 1e6, health.entries, (double)health.bytes / 1e6);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

static bool same(tally a, tally b) { return a.function == b.function && a.memory == b.memory && a.files == b.files; }

static bool holds(const char *name, const pass *p, tally expected, const pass *first, const char *source) {
    if (p->failed != 0 || p->checksum != first->checksum) {
        fprintf(stderr, "The %s is wrong: %" PRIu64 " calls failed, and the results are %s.\n", name, p->failed,
                p->checksum == first->checksum ? "the same" : "others");
        return false;
    }
    if (!same(p->said, expected) || !same(p->counted, expected)) {
        fprintf(stderr, "The %s is wrong: not every answer came from the %s.\n", name, source);
        return false;
    }
    return true;
}

static bool verdict(const tour *t, const pass passes[3]) {
    const uint64_t n = t->files.count;
    bool           fine = holds("first pass", &passes[0], (tally){.function = n}, &passes[0], "function");
    fine &= holds("second pass", &passes[1], (tally){.memory = n}, &passes[0], "memory");
    fine &= holds("third pass", &passes[2], (tally){.files = n}, &passes[0], "files");
    if (fine) {
        printf("  All three passes gave the same results (checksum %016" PRIx64 ").\n", passes[0].checksum);
    }
    return fine;
}

/* ---- the tour -------------------------------------------------------------------------------------------------- */

static bool prepare(tour *t) {
    const char *base = getenv("TMPDIR");
    char        directory[PATH_MAX];
    ckit_error  err = CKIT_ERROR_INIT;
    if (!tour_files_find(&t->files, TOUR_SOURCE_TREE, &stop) || t->files.count == 0) {
        if (!stop) {
            fprintf(stderr, "The tour found no files to work on.\n");
        }
        return false;
    }
    int len =
        snprintf(directory, sizeof directory, "%s/cachekit-tour-XXXXXX", base != NULL && *base != '\0' ? base : "/tmp");
    /* Room for the names inside it, so that set_directory does not fail. */
    if (len < 0 || (size_t)len + 16 > sizeof directory || mkdtemp(directory) == NULL || !set_directory(t, directory)) {
        fprintf(stderr, "The tour cannot make its directory %s: %s\n", directory, strerror(errno));
        return false;
    }
    if (open_cache(t, &err) != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
        return false;
    }
    return true;
}

/* Files that vanish or change under the first pass are no fault of the cache: the later passes do without them. */
static void drop_failed(tour *t, pass *first) {
    if (first->failed > 0) {
        printf("  (%" PRIu64 " files could not be read)\n", first->failed);
        tour_files_drop_marked(&t->files);
        first->failed = 0;
    }
}

static bool run_tour(tour *t, const char *redis) {
    pass passes[3] = {{.failed = 0}};
    printf("CacheKit %s. The slow function reads a file, hashes it (BLAKE2b), counts its\n"
           "lines and words, and compresses it (LZ4 HC). It is called for %zu files\n(%.1f MB) of %s.\n",
           ckit_version(), t->files.count, (double)t->files.bytes / 1e6, t->files.places);
    fflush(stdout);
    t->progress = isatty(STDERR_FILENO) != 0;
    passes[0] = run_pass(t);
    hide_progress(t);
    t->progress = false;
    drop_failed(t, &passes[0]);
    if (stop || t->files.count == 0) {
        return false;
    }
    passes[1] = run_pass(t);
    if (!tour_files_save(&t->files, t->list) || !run_in_a_new_process(t, &passes[2])) {
        if (!stop) {
            fprintf(stderr, "The third pass could not be run.\n");
        }
        return false;
    }
    print_table(t, passes);
    print_sizes(t);
    return verdict(t, passes) && tour_redis(&t->files, redis, &stop) && !stop;
}

int main(int argc, char **argv) {
    static tour t;
    catch_signals();
    if (sodium_init() < 0) {
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], AGAIN) == 0) {
        return in_a_new_process(&t, argv[2]);
    }
    bool fine = prepare(&t) && run_tour(&t, argc == 2 ? argv[1] : "redis://localhost:6379");
    ckit_function_close(t.digest);
    ckit_cache_close(t.cache);
    if (t.directory[0] != '\0') {
        tour_remove_tree(t.directory);
    }
    tour_files_fini(&t.files);
    if (stop) {
        fprintf(stderr, "The tour was interrupted; its directory is removed.\n");
        return 128 + stop;
    }
    return fine ? 0 : 1;
}
