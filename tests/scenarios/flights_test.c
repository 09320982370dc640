/* Flights of a fleet, with real processes over files and over a real server: one computation for all, and what happens
 * when the process that computes dies or is stopped. Nothing here asserts how fast; what was measured is printed. */
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <cachekit/document.h>
#include <cachekit/poll.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES (UNDER_TSAN ? 3u : 10u)
#define THREADS (UNDER_TSAN ? 5u : 50u)  /* of each process, and ... */
#define POLLABLE (UNDER_TSAN ? 5u : 50u) /* ... calls in its event loop */
/* A lock is renewed after a third of its lease; the rest is what a busy machine may cost. */
#define LEASE_MS 3000u
#define LONGER_MS 4000u
#define LEASE_OF_A_CROWD_MS 6000u /* which is busy itself */
#define LONGER_FOR_A_CROWD_MS 7000u
#define CHILDS_NUMBER 99u

/* What the processes share. */
typedef struct board {
    _Atomic uint64_t ready;
    _Atomic uint64_t go;
    _Atomic uint64_t runs;     /* of the function; the value of a run is its number */
    _Atomic uint64_t ended;    /* calls that got the first run's value */
    _Atomic uint64_t began_ms; /* the last run */
    _Atomic uint64_t leases_lost;
    _Atomic uint64_t second_look; /* what the stopped process sees at last */
    uint32_t         lease_ms;
    uint64_t         takes_ms;
    bool             stops; /* the first run stops its process */
    bool             hangs; /* it never returns */
    bool             forks; /* it makes a child, which comes back from it first */
} board;

typedef struct world {
    board       *b;
    redis_server server;
    bool         redis;
    char         dir[SCRATCH_PATH];
    char         url[SCRATCH_PATH + 128];
} world;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(uint64_t ms) {
    struct timespec moment = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&moment, &moment) != 0) {}
}

static void wait_until(const _Atomic uint64_t *counter, uint64_t value) {
    for (unsigned i = 0; i < 60000 && atomic_load(counter) < value; i++) {
        pause_ms(1);
    }
    CHECK(atomic_load(counter) >= value);
}

static bool world_open(world *w, bool redis, char why[200]) {
    memset(w, 0, sizeof *w);
    w->b = mmap(NULL, sizeof *w->b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(w->b != MAP_FAILED);
    w->b->lease_ms = LEASE_MS;
    w->redis = redis;
    if (redis) {
        if (!redis_server_start(&w->server, NULL, why, 200)) {
            return false;
        }
        snprintf(w->url, sizeof w->url, "%s", w->server.url);
    } else {
        scratch_make(w->dir);
        snprintf(w->url, sizeof w->url, "file://%s?lock_timeout_seconds=30", w->dir);
    }
    return true;
}

static void world_close(world *w) {
    if (w->redis) {
        redis_server_stop(&w->server);
    } else {
        scratch_remove(w->dir);
    }
    munmap(w->b, sizeof *w->b);
}

#define OVER(what, story)                                                                                              \
    do {                                                                                                               \
        world over_world;                                                                                              \
        char  over_why[200];                                                                                           \
        if (!world_open(&over_world, (what), over_why)) {                                                              \
            SKIP("%s", over_why);                                                                                      \
        }                                                                                                              \
        story(&over_world);                                                                                            \
        world_close(&over_world);                                                                                      \
    } while (0)
#define FILES false
#define REDIS true

static void join(pid_t child) {
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process ended with %#x", (unsigned)status);
}

/* True in the child. The parent goes on when the child has ended its call, and everything else. */
static bool fork_inside(board *b) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) {
        join(child);
        atomic_store(&b->go, 1);
    }
    return child == 0;
}

static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    board   *b = context;
    uint64_t run = atomic_fetch_add(&b->runs, 1) + 1;
    (void)err;
    atomic_store(&b->began_ms, now_ms());
    if (run == 1 && b->stops) {
        raise(SIGSTOP);
    }
    while (run == 1 && b->hangs) {
        (void)pause();
    }
    if (run == 1 && b->forks && fork_inside(b)) {
        load->ttl_ms = CKIT_TTL_DO_NOT_STORE;
        ckit_write_uint(load->result, CHILDS_NUMBER);
        return CKIT_OK;
    }
    pause_ms(b->takes_ms);
    ckit_write_uint(load->result, run);
    return CKIT_OK;
}

typedef struct member {
    ckit_cache    *cache;
    ckit_function *fn;
    board         *b;
    uint64_t       pending; /* calls of its loop */
} member;

static void member_open_with(member *m, world *w, const ckit_function_options *of) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_ERROR};
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_guard_options unguarded = CKIT_GUARD_OPTIONS_INIT;
    unguarded.enabled = CKIT_OFF; /* a lock that a slow machine gives late is no failure here */
    options.guard = &unguarded;
    options.log = &quiet;
    options.lock_lease_ms = w->b->lease_ms; /* shorter than the function takes */
    options.lock_wait_ms = 60000;
    options.store_timeout_ms = 30000;
    CHECK_OK_ERR(ckit_cache_open(w->url, &options, &m->cache, &err), &err);
    CHECK_OK_ERR(ckit_function_new(m->cache, "story.load", load, w->b, of, &m->fn, &err), &err);
    m->b = w->b;
    m->pending = 0;
}

static void member_open(member *m, world *w) { member_open_with(m, w, NULL); }

static void member_close(member *m) {
    ckit_function_close(m->fn);
    ckit_cache_close(m->cache);
}

static uint64_t number_of(ckit_value *value) {
    uint64_t number = 0;
    CHECK_OK(ckit_document_uint(value->data, &number, NULL));
    ckit_value_fini(value);
    return number;
}

static uint64_t call(member *m) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_call(m->fn, NULL, &value, &err), &err);
    return number_of(&value);
}

/* ---- a crowd for one key ----------------------------------------------------------------------------------------- */

static void got(board *b, uint64_t number) {
    CHECK_EQ_U(1, number);
    atomic_fetch_add(&b->ended, 1);
}

static void *call_in_thread(void *context) {
    member *m = context;
    wait_until(&m->b->go, 1);
    got(m->b, call(m));
    return NULL;
}

static void on_ready(void *context, ckit_op *op, ckit_status answer) {
    member    *m = context;
    ckit_value value = CKIT_VALUE_INIT;
    if (answer == CKIT_COMPUTE) { /* a loop would not wait here; that others need not either is what counts */
        ckit_buf    document = CKIT_BUF_INIT;
        ckit_writer w;
        ckit_writer_init(&w, &document);
        ckit_load run = {.result = &w};
        CHECK_OK(load(m->b, &run, NULL));
        CHECK_OK(ckit_writer_finish(&w, NULL));
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = ckit_buf_slice(&document)};
        CHECK_STATUS(CKIT_PENDING, ckit_finish(op, &result, NULL, NULL));
        ckit_buf_fini(&document);
        return;
    }
    CHECK_OK(answer);
    ckit_op_take(op, &value);
    got(m->b, number_of(&value));
    ckit_op_free(op);
    m->pending--;
}

static void call_in_loop(member *m, unsigned calls) {
    ckit_poll *poller;
    CHECK_OK(ckit_poll_new(m->cache, &poller, NULL));
    wait_until(&m->b->go, 1);
    for (unsigned i = 0; i < calls; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        ckit_op   *op;
        ckit_start start = {
            .struct_size = sizeof start, .function = m->fn, .poll = poller, .ready = on_ready, .context = m};
        ckit_status st = ckit_begin(&start, &op, &value, NULL);
        if (st == CKIT_OK) {
            got(m->b, number_of(&value));
        } else {
            CHECK_STATUS(CKIT_PENDING, st);
            m->pending++;
        }
    }
    while (m->pending > 0) {
        struct pollfd watched = {.fd = ckit_poll_fd(poller), .events = POLLIN};
        CHECK_EQ_I(1, poll(&watched, 1, 60000));
        (void)ckit_poll_dispatch(poller);
    }
    ckit_poll_close(poller);
}

static void child_of_the_crowd(world *w) {
    member    m;
    pthread_t threads[THREADS];
    member_open(&m, w);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, call_in_thread, &m));
    }
    atomic_fetch_add(&w->b->ready, 1);
    call_in_loop(&m, POLLABLE);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    member_close(&m);
}

static void crowd(world *w) {
    pid_t children[PROCESSES];
    w->b->lease_ms = LEASE_OF_A_CROWD_MS;
    w->b->takes_ms = LONGER_FOR_A_CROWD_MS;
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            child_of_the_crowd(w);
            _exit(0);
        }
    }
    wait_until(&w->b->ready, PROCESSES);
    uint64_t began = now_ms();
    atomic_store(&w->b->go, 1);
    for (unsigned i = 0; i < PROCESSES; i++) {
        join(children[i]);
    }
    CHECK_EQ_U(1, w->b->runs);
    CHECK_EQ_U(PROCESSES * (THREADS + POLLABLE), w->b->ended);
    printf("%u calls in %u processes, a function of %u ms and a lease of %u ms: 1 run, all answered after %llu ms\n",
           PROCESSES * (THREADS + POLLABLE), PROCESSES, LONGER_FOR_A_CROWD_MS, LEASE_OF_A_CROWD_MS,
           (unsigned long long)(now_ms() - began));
}

CKIT_TEST(flights, of_a_thousand_callers_in_ten_processes_one_computes_over_files) { OVER(FILES, crowd); }
CKIT_TEST(flights, of_a_thousand_callers_in_ten_processes_one_computes_over_redis) { OVER(REDIS, crowd); }

/* ---- a fleet that refreshes -------------------------------------------------------------------------------------- */

/* Each has the first value in memory, and asks until it has the second. */
static void child_that_refreshes(world *w, const ckit_function_options *of) {
    member   m;
    uint64_t seen = 1;
    member_open_with(&m, w, of);
    CHECK_EQ_U(1, call(&m));
    atomic_fetch_add(&w->b->ready, 1);
    wait_until(&w->b->go, 1);
    for (unsigned i = 0; i < 60000 && seen == 1; i++) {
        seen = call(&m);
        pause_ms(1);
    }
    CHECK_EQ_U(2, seen);
    member_close(&m);
}

/* When they may go on, each finds its copy old. */
static void fleet_refreshes(world *w, const ckit_function_options *of, uint64_t due_ms) {
    pid_t children[PROCESSES];
    w->b->takes_ms = 300;
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            child_that_refreshes(w, of);
            _exit(0);
        }
    }
    wait_until(&w->b->ready, PROCESSES);
    pause_ms(due_ms);
    atomic_store(&w->b->go, 1);
    for (unsigned i = 0; i < PROCESSES; i++) {
        join(children[i]);
    }
    CHECK_EQ_U(2, w->b->runs);
}

static void refresh_within_the_life(world *w) {
    ckit_function_options of = CKIT_FUNCTION_OPTIONS_INIT;
    of.ttl_ms = 200000;
    of.early_refresh = 0.02; /* when all of them have begun */
    fleet_refreshes(w, &of, 4500);
}

static void refresh_past_the_life(world *w) {
    ckit_function_options of = CKIT_FUNCTION_OPTIONS_INIT;
    of.ttl_ms = 8000; /* in which each of them has to be seen by all */
    of.stale_ms = 600000;
    fleet_refreshes(w, &of, 9500);
}

CKIT_TEST(flights, of_ten_processes_one_refreshes_a_value_within_its_life_over_files) {
    OVER(FILES, refresh_within_the_life);
}
CKIT_TEST(flights, of_ten_processes_one_refreshes_a_value_within_its_life_over_redis) {
    OVER(REDIS, refresh_within_the_life);
}
CKIT_TEST(flights, of_ten_processes_one_refreshes_a_value_past_its_life_over_files) {
    OVER(FILES, refresh_past_the_life);
}
CKIT_TEST(flights, of_ten_processes_one_refreshes_a_value_past_its_life_over_redis) {
    OVER(REDIS, refresh_past_the_life);
}

/* ---- a holder that dies ------------------------------------------------------------------------------------------ */

static pid_t start_holder(world *w) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        member m;
        member_open(&m, w);
        (void)call(&m);
        atomic_store(&w->b->second_look, call(&m));
        ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
        ckit_cache_get_stats(m.cache, &stats);
        atomic_store(&w->b->leases_lost, stats.leases_lost);
        member_close(&m);
        _exit(0);
    }
    wait_until(&w->b->runs, 1);
    return child;
}

static void *call_and_tell(void *context) {
    member *m = context;
    CHECK_EQ_U(2, call(m));
    return NULL;
}

static void killed_holder(world *w) {
    member    m;
    pthread_t waiter;
    w->b->hangs = true;
    pid_t holder = start_holder(w);
    pause_ms(LONGER_MS); /* it lives on renewals now */
    member_open(&m, w);
    CHECK_EQ_I(0, pthread_create(&waiter, NULL, call_and_tell, &m));
    pause_ms(LEASE_MS);
    CHECK_EQ_U(1, w->b->runs);
    uint64_t killed = now_ms();
    CHECK_EQ_I(0, kill(holder, SIGKILL));
    CHECK_EQ_I(holder, waitpid(holder, NULL, 0));
    CHECK_EQ_I(0, pthread_join(waiter, NULL));
    CHECK_EQ_U(2, w->b->runs);
    CHECK(atomic_load(&w->b->began_ms) >= killed);
    printf("the next computation began %llu ms after its holder was killed, with a lease of %u ms\n",
           (unsigned long long)(atomic_load(&w->b->began_ms) - killed), LEASE_MS);
    member_close(&m);
}

CKIT_TEST(flights, go_on_when_the_process_that_computes_is_killed_over_files) { OVER(FILES, killed_holder); }
CKIT_TEST(flights, go_on_when_the_process_that_computes_is_killed_over_redis) { OVER(REDIS, killed_holder); }

/* ---- a holder that is stopped, and goes on ----------------------------------------------------------------------- */

static void stopped_holder(world *w) {
    member m, fresh;
    int    status = 0;
    w->b->stops = true;
    pid_t holder = start_holder(w);
    CHECK_EQ_I(holder, waitpid(holder, &status, WUNTRACED));
    CHECK(WIFSTOPPED(status));
    member_open(&m, w);
    CHECK_EQ_U(2, call(&m)); /* its lease ends */
    CHECK_EQ_I(0, kill(holder, SIGCONT));
    join(holder);
    if (!w->redis) { /* a server may also have told of the newer value first: then nothing is written either */
        CHECK_EQ_U(1, w->b->leases_lost);
    }
    CHECK_EQ_U(2, w->b->second_look); /* its own older value was nowhere kept */
    member_open(&fresh, w);
    CHECK_EQ_U(2, call(&fresh));
    CHECK_EQ_U(2, w->b->runs);
    member_close(&fresh);
    member_close(&m);
}

CKIT_TEST(flights, whose_leader_was_stopped_beyond_its_lease_keep_the_newer_value_over_files) {
    OVER(FILES, stopped_holder);
}
CKIT_TEST(flights, whose_leader_was_stopped_beyond_its_lease_keep_the_newer_value_over_redis) {
    OVER(REDIS, stopped_holder);
}

/* ---- a holder that forks ----------------------------------------------------------------------------------------- */

/* A rival calls when the child of the function has ended, while the parent computes. */
static void forking_holder(world *w) {
    member m;
    w->b->forks = true;
    w->b->takes_ms = LONGER_MS;
    pid_t holder = getpid();
    pid_t rival = fork();
    CHECK(rival >= 0);
    member_open(&m, w);
    if (rival == 0) {
        wait_until(&w->b->go, 1);
    }
    uint64_t number = call(&m);
    member_close(&m);
    if (rival == 0) {
        _exit(number == 1 ? 0 : 1);
    }
    if (getpid() != holder) {
        _exit(number == CHILDS_NUMBER ? 0 : 1);
    }
    CHECK_EQ_U(1, number);
    join(rival);
    CHECK_EQ_U(1, w->b->runs);
}

static void skip_under_tsan(void) {
    if (UNDER_TSAN) {
        SKIP("not with ThreadSanitizer, which follows at most 64 locks held at once");
    }
}

CKIT_TEST(flights, are_not_ended_by_a_child_that_was_forked_inside_the_function_over_files) {
    skip_under_tsan();
    OVER(FILES, forking_holder);
}
CKIT_TEST(flights, are_not_ended_by_a_child_that_was_forked_inside_the_function_over_redis) {
    skip_under_tsan();
    OVER(REDIS, forking_holder);
}
