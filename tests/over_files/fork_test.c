/* A program forks while its cache is in full use, by threads, by an event loop and by background refreshes: the child
 * works, and so does the parent. */
#include "over_files.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* ThreadSanitizer follows at most 64 locks held at once, and a fork holds more. */
static void skip_under_tsan(void) {
    if (UNDER_TSAN) {
        SKIP("not with ThreadSanitizer");
    }
}

#define KEYS 40u

typedef struct crowd {
    ckit_cache    *cache;
    ckit_function *function;
    _Atomic bool   stop;
    _Atomic size_t calls;
} crowd;

static void *call_on(void *context) {
    crowd *c = context;
    for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
        (void)files_call(c->function, i * 7 % KEYS);
        atomic_fetch_add(&c->calls, 1);
    }
    return NULL;
}

static void *forget_on(void *context) {
    crowd *c = context;
    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
        ckit_deleted deleted;
        if (i % 4 == 0) {
            (void)ckit_cache_invalidate(c->cache, &all, &deleted, NULL);
        } else {
            (void)ckit_function_invalidate(c->function, &deleted, NULL);
        }
        usleep(500);
    }
    return NULL;
}

/* ---- the event loop ---------------------------------------------------------------------------------------------- */

typedef struct request {
    uint64_t    number;
    bool        done;
    ckit_status answer;
} request;

static void on_ready(void *context, ckit_op *op, ckit_status answer) {
    request *r = context;
    (void)op;
    r->answer = answer;
    r->done = true;
}

static void wait_for_answer(ckit_poll *loop, request *r) {
    struct pollfd fd = {.fd = ckit_poll_fd(loop), .events = POLLIN};
    while (!r->done) {
        CHECKF(poll(&fd, 1, 60000) > 0, "no answer in a minute");
        (void)ckit_poll_dispatch(loop);
    }
}

static void finish(ckit_poll *loop, ckit_op *op, request *r) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &document);
    files_write(&w, r->number);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = ckit_buf_slice(&document)};
    r->done = false;
    r->answer = ckit_finish(op, &result, NULL, NULL);
    if (r->answer == CKIT_PENDING) {
        wait_for_answer(loop, r);
    }
    ckit_buf_fini(&document);
}

static void call_by_loop(crowd *c, ckit_poll *loop, uint64_t number) {
    request    r = {.number = number};
    ckit_value value = CKIT_VALUE_INIT;
    ckit_op   *op = NULL;
    ckit_args  args;
    ckit_args_init(&args);
    ckit_args_uint(&args, number);
    ckit_start start = {.struct_size = sizeof start,
                        .function = c->function,
                        .args = &args,
                        .poll = loop,
                        .ready = on_ready,
                        .context = &r};
    r.answer = ckit_begin(&start, &op, &value, NULL);
    if (r.answer == CKIT_PENDING) {
        wait_for_answer(loop, &r);
    }
    if (r.answer == CKIT_COMPUTE) {
        finish(loop, op, &r);
    }
    CHECK_OK(r.answer);
    if (op != NULL) {
        ckit_op_take(op, &value);
        ckit_op_free(op);
    }
    CHECK(files_is(value.data, number));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

static void *loop_on(void *context) {
    crowd     *c = context;
    ckit_poll *loop = NULL;
    CHECK_OK(ckit_poll_new(c->cache, &loop, NULL));
    for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
        call_by_loop(c, loop, i * 11 % KEYS);
        atomic_fetch_add(&c->calls, 1);
    }
    ckit_poll_close(loop);
    return NULL;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* Everything once, by every door. */
static void use(crowd *c, const char *mine) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_poll *loop = NULL;
    CHECK_OK(ckit_poll_new(c->cache, &loop, NULL));
    for (uint64_t i = 0; i < KEYS; i++) {
        (void)files_call(c->function, i);
        call_by_loop(c, loop, i);
        (void)files_call(c->function, 1000 + i);
    }
    ckit_poll_close(loop);
    CHECK_OK(ckit_cache_set(c->cache, S(mine), S(mine), NULL, NULL));
    CHECK_OK(ckit_cache_get(c->cache, S(mine), NULL, &value, NULL));
    CHECK_TEXT(mine, value.data);
    ckit_value_fini(&value);
    CHECK_OK(ckit_cache_delete(c->cache, S(mine), NULL, NULL));
    CHECK_OK(ckit_function_invalidate(c->function, NULL, NULL));
}

static void close_all(crowd *c) {
    ckit_function_close(c->function);
    ckit_cache_close(c->cache);
}

static void fork_in_the_middle(ckit_cache *cache) {
    void *(*const roles[])(void *) = {call_on, loop_on, call_on, forget_on};
    pthread_t threads[4];
    crowd     c = {.cache = cache};
    unsigned  forks = getenv("CKIT_SOAK") != NULL ? 200 : 8;
    c.function = files_function(cache, "forking", NULL);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, roles[i], &c));
    }
    for (unsigned i = 0; i < forks; i++) {
        size_t calls = atomic_load(&c.calls);
        for (unsigned patience = 0; atomic_load(&c.calls) < calls + 20; patience++) {
            CHECK(patience < 60000);
            usleep(1000);
        }
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(300); /* a child that hangs is a failure and not a wait */
            use(&c, "child");
            close_all(&c);
            _exit(0);
        }
        files_join(child);
    }
    atomic_store(&c.stop, true);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    use(&c, "parent");
    close_all(&c);
}

CKIT_TEST(fork, in_the_middle_of_use_over_files) {
    skip_under_tsan();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    fork_in_the_middle(files_open(dir, "", NULL));
    scratch_remove(dir);
}

CKIT_TEST(fork, in_the_middle_of_use_in_memory) {
    skip_under_tsan();
    ckit_cache *cache = NULL;
    CHECK_OK(ckit_cache_open("memory:", NULL, &cache, NULL));
    fork_in_the_middle(cache);
}

CKIT_TEST(fork, while_stale_values_are_being_refreshed) {
    skip_under_tsan();
    ckit_cache           *cache = NULL;
    ckit_function        *function = NULL;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1; /* stale at once, so that nearly every call starts a refresh */
    options.stale_ms = 3600000;
    CHECK_OK(ckit_cache_open("memory:", NULL, &cache, NULL));
    CHECK_OK(ckit_function_new(cache, "story.load", files_load, NULL, &options, &function, NULL));
    for (unsigned i = 0; i < 10; i++) {
        for (uint64_t number = 0; number < KEYS; number++) {
            (void)files_call(function, number);
        }
        usleep(5000); /* some become stale */
        for (uint64_t number = 0; number < KEYS; number++) {
            (void)files_call(function, number);
        }
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(300);
            for (uint64_t number = 0; number < 2 * KEYS; number++) {
                (void)files_call(function, number);
            }
            ckit_function_close(function);
            ckit_cache_close(cache);
            _exit(0);
        }
        files_join(child);
    }
    ckit_function_close(function);
    ckit_cache_close(cache);
}
