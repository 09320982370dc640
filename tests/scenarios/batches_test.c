/* Large batches of two processes, over files and over a real server: what they share is computed once. */
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <cachekit/document.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* More than are handed to the store at once. */
#define CALLS 1100u

/* What the processes share: how often each argument was loaded. */
typedef struct board {
    _Atomic uint64_t ready;
    _Atomic uint32_t loaded[CALLS];
} board;

static ckit_status load(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    board *b = context;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        ckit_reader args;
        ckit_args_positional(calls[i].args, &args);
        uint64_t number = ckit_read_uint(&args);
        atomic_fetch_add(&b->loaded[number], 1);
        ckit_write_uint(calls[i].result, 10 * number);
    }
    return CKIT_OK;
}

/* Nothing here is given up because a machine is slow. */
static ckit_cache *open_patient(const char *url) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_guard_options guard = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache        *cache;
    ckit_error         err = CKIT_ERROR_INIT;
    guard.enabled = CKIT_OFF;
    options.guard = &guard;
    options.store_timeout_ms = options.lock_wait_ms = options.lock_lease_ms = 120000;
    CHECK_OK_ERR(ckit_cache_open(url, &options, &cache, &err), &err);
    return cache;
}

static void wait_for_the_other(board *b) {
    struct timespec moment = {0, 1000000};
    atomic_fetch_add(&b->ready, 1);
    for (unsigned i = 0; i < 60000 && atomic_load(&b->ready) < 2; i++) {
        (void)nanosleep(&moment, NULL);
    }
    CHECK_EQ_U(2, atomic_load(&b->ready));
}

/* All calls in one batch, upwards or downwards. */
static void call_all(board *b, const char *url, bool downwards) {
    ckit_cache    *cache = open_patient(url);
    ckit_function *fn;
    ckit_args     *args = calloc(CALLS, sizeof args[0]), **calls = calloc(CALLS, sizeof calls[0]);
    ckit_value    *out = calloc(CALLS, sizeof out[0]);
    ckit_status   *answers = calloc(CALLS, sizeof answers[0]);
    ckit_error     err = CKIT_ERROR_INIT;
    CHECK(args != NULL && calls != NULL && out != NULL && answers != NULL);
    CHECK_OK_ERR(ckit_function_new(cache, "story.load", NULL, NULL, NULL, &fn, &err), &err);
    for (size_t i = 0; i < CALLS; i++) {
        ckit_args_init(&args[i]);
        ckit_args_uint(&args[i], downwards ? CALLS - 1 - i : i);
        calls[i] = &args[i];
        ckit_value_init(&out[i]);
    }
    wait_for_the_other(b);
    CHECK_OK_ERR(ckit_call_many(fn, calls, CALLS, load, b, out, answers, &err), &err);
    for (size_t i = 0; i < CALLS; i++) {
        uint64_t number = 0;
        CHECK_OK(ckit_document_uint(out[i].data, &number, NULL));
        CHECK_EQ_U(10 * (downwards ? CALLS - 1 - i : i), number);
        ckit_value_fini(&out[i]);
        ckit_args_fini(&args[i]);
    }
    free(args);
    free(calls);
    free(out);
    free(answers);
    ckit_function_close(fn);
    ckit_cache_close(cache);
}

static void two_processes(const char *url) {
    board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t  children[2];
    CHECK(b != MAP_FAILED);
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            call_all(b, url, i == 1);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        int status = 0;
        CHECK_EQ_I(children[i], waitpid(children[i], &status, 0));
        CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process ended with %#x", (unsigned)status);
    }
    for (size_t i = 0; i < CALLS; i++) {
        CHECK_EQ_U(1, b->loaded[i]);
    }
    munmap(b, sizeof *b);
}

CKIT_TEST(batches, of_two_processes_in_two_orders_load_each_key_once_over_redis) {
    redis_server server;
    char         why[200];
    if (!redis_server_start(&server, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    two_processes(server.url);
    redis_server_stop(&server);
}

CKIT_TEST(batches, of_two_processes_in_two_orders_load_each_key_once_over_files) {
    char dir[SCRATCH_PATH], url[SCRATCH_PATH + 64];
    scratch_make(dir);
    snprintf(url, sizeof url, "file://%s", dir);
    two_processes(url);
    scratch_remove(dir);
}
