/* Processes that share a directory: one computes, the others take what it stored; one that dies holds nobody up. */
#include "over_files.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 3u
#define THREADS 3u

typedef struct board {
    _Atomic uint64_t ready;
    _Atomic uint64_t runs;
    _Atomic uint64_t round; /* the key that everybody asks for */
    _Atomic uint64_t done;
} board;

static void pause_ms(long ms) {
    struct timespec moment = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&moment, NULL);
}

static void wait_until(const _Atomic uint64_t *counter, uint64_t value) {
    for (unsigned i = 0; i < 60000 && atomic_load(counter) < value; i++) {
        pause_ms(1);
    }
    CHECK(atomic_load(counter) >= value);
}

/* ---- one computation for one key --------------------------------------------------------------------------------- */

typedef struct caller {
    board         *b;
    ckit_function *function;
    uint64_t       rounds;
    pthread_t      thread;
} caller;

static void *call_each_round(void *context) {
    caller *c = context;
    for (uint64_t round = 1; round <= c->rounds; round++) {
        wait_until(&c->b->round, round);
        (void)files_call(c->function, round);
        atomic_fetch_add(&c->b->done, 1);
    }
    return NULL;
}

/* Slow enough that the others really come meanwhile; the claim does not rest on it. */
static ckit_status load_slowly(void *context, ckit_load *load, ckit_error *err) {
    pause_ms(10);
    return files_load(context, load, err);
}

static void child_that_calls(board *b, const char *dir, uint64_t rounds) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    caller             callers[THREADS];
    ckit_function     *function = NULL;
    options.lock_wait_ms = 60000;
    options.store_timeout_ms = 60000;
    ckit_cache *cache = files_open(dir, "&lock_timeout_seconds=30", &options);
    CHECK_OK(ckit_function_new(cache, "story.slow", load_slowly, &b->runs, NULL, &function, NULL));
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){.b = b, .function = function, .rounds = rounds};
        CHECK_EQ_I(0, pthread_create(&callers[i].thread, NULL, call_each_round, &callers[i]));
    }
    atomic_fetch_add(&b->ready, 1);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK_EQ_I(0, pthread_join(callers[i].thread, NULL));
    }
    ckit_function_close(function);
    ckit_cache_close(cache);
}

CKIT_TEST(processes, that_ask_for_one_key_at_once_compute_it_once) {
    char     dir[SCRATCH_PATH];
    board   *b = files_shared(sizeof *b);
    uint64_t rounds = getenv("CKIT_SOAK") != NULL ? 500 : 20;
    pid_t    children[PROCESSES];
    scratch_make(dir);
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            child_that_calls(b, dir, rounds);
            _exit(0);
        }
    }
    wait_until(&b->ready, PROCESSES);
    for (uint64_t round = 1; round <= rounds; round++) {
        atomic_store(&b->round, round);
        wait_until(&b->done, round * PROCESSES * THREADS);
        CHECK_EQ_U(round, atomic_load(&b->runs));
    }
    for (size_t i = 0; i < PROCESSES; i++) {
        files_join(children[i]);
    }
    scratch_remove(dir);
}

CKIT_TEST(processes, a_later_one_finds_what_an_earlier_one_computed) {
    char  dir[SCRATCH_PATH];
    pid_t child;
    scratch_make(dir);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ckit_cache    *cache = files_open(dir, "", NULL);
        ckit_function *function = files_function(cache, NULL, NULL);
        for (uint64_t i = 0; i < 20; i++) {
            CHECK_EQ_U(CKIT_SOURCE_FUNCTION, files_call(function, i));
        }
        ckit_function_close(function);
        ckit_cache_close(cache);
        _exit(0);
    }
    files_join(child);
    ckit_cache    *cache = files_open(dir, "", NULL);
    ckit_function *function = files_function(cache, NULL, NULL);
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_EQ_U(CKIT_SOURCE_STORE, files_call(function, i));
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, files_call(function, i));
    }
    ckit_function_close(function);
    ckit_cache_close(cache);
    scratch_remove(dir);
}

/* ---- the one that computes dies ---------------------------------------------------------------------------------- */

static ckit_status load_until_killed(void *context, ckit_load *load, ckit_error *err) {
    board *b = context;
    (void)load;
    atomic_fetch_add(&b->ready, 1);
    (void)pause();
    return ckit_fail(err, CKIT_E_IO, "story", "it was not killed");
}

CKIT_TEST(processes, one_that_is_killed_while_it_computes_holds_up_nobody_beyond_its_lease) {
    char               dir[SCRATCH_PATH];
    board             *b = files_shared(sizeof *b);
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function     *function = NULL;
    options.lock_lease_ms = 300;
    options.lock_wait_ms = 60000; /* the lease ends it, not the patience */
    scratch_make(dir);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ckit_value  value = CKIT_VALUE_INIT;
        ckit_cache *cache = files_open(dir, "", &options);
        CHECK_OK(ckit_function_new(cache, "story.load", load_until_killed, b, NULL, &function, NULL));
        (void)ckit_call(function, NULL, &value, NULL);
        _exit(1);
    }
    wait_until(&b->ready, 1);
    CHECK_EQ_I(0, kill(child, SIGKILL));
    CHECK_EQ_I(child, waitpid(child, NULL, 0));
    ckit_cache *cache = files_open(dir, "", &options);
    function = files_function(cache, NULL, NULL);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, files_call(function, 3));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, files_call(function, 3));
    ckit_function_close(function);
    ckit_cache_close(cache);
    scratch_remove(dir);
}

/* ---- killed at any moment ---------------------------------------------------------------------------------------- */

static void call_for_ever(const char *dir, uint32_t random) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.lock_lease_ms = 100;
    options.l1_max_bytes = 65536;
    options.l1_total_max_bytes = 65536;
    ckit_cache    *cache = files_open(dir, "&max_entry_count=100", &options);
    ckit_function *function = files_function(cache, "killed", NULL);
    for (;; random = random * 1664525u + 1013904223u) {
        uint64_t  number = (random >> 8) % 60;
        ckit_args args;
        if (random >> 27 != 0) {
            (void)files_call(function, number);
            continue;
        }
        ckit_args_init(&args);
        ckit_args_uint(&args, number);
        (void)ckit_invalidate(function, &args, NULL);
        ckit_args_fini(&args);
    }
}

CKIT_TEST(processes, killed_at_any_moment_leave_nothing_but_right_values) {
    char     dir[SCRATCH_PATH];
    unsigned rounds = getenv("CKIT_SOAK") != NULL ? 1000 : 20;
    uint32_t random = (uint32_t)time(NULL);
    scratch_make(dir);
    printf("seed %u\n", random);
    for (unsigned round = 0; round < rounds; round++) {
        pid_t children[2];
        for (uint32_t i = 0; i < 2; i++) {
            children[i] = fork();
            CHECK(children[i] >= 0);
            if (children[i] == 0) {
                call_for_ever(dir, random + i);
            }
        }
        random = random * 1664525u + 1013904223u;
        struct timespec moment = {.tv_nsec = 1000000 + (long)(random >> 8) % 30000000};
        nanosleep(&moment, NULL);
        for (size_t i = 0; i < 2; i++) {
            int status = 0;
            CHECK_EQ_I(0, kill(children[i], SIGKILL));
            CHECK_EQ_I(children[i], waitpid(children[i], &status, 0));
            CHECKF(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended by itself: %#x", (unsigned)status);
        }
    }
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.lock = CKIT_OFF;
    ckit_cache    *cache = files_open(dir, "&max_entry_count=100", &options);
    ckit_function *function = files_function(cache, "killed", NULL);
    for (uint64_t number = 0; number < 60; number++) {
        (void)files_call(function, number);
    }
    CHECK_EQ_U(0, files_stats(cache).l2_corrupt);
    CHECK_EQ_U(0, files_stats(cache).l2_errors);
    ckit_function_close(function);
    ckit_cache_close(cache);
    scratch_remove(dir);
}
