/* fork in the middle of everything: the child calls, computes, invalidates, refreshes, polls and closes, while the
 * parent's threads computed, waited for each other, stood in the store, refreshed and held operations. */
#include "cache/cache_fixture.h"
#include "support/failing_alloc.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer follows at most 64 locks held at once, and a fork holds more. */
static void skip_under_tsan(void) {
    if (UNDER_TSAN) {
        SKIP("not with ThreadSanitizer");
    }
}

/* Runs `body` in a child (60 s at most) and checks that it came to its end. */
static void in_child(void (*body)(void *), void *context) {
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(300); /* a child that hangs dies of it */
        body(context);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
}

typedef struct scene {
    fixture        f;
    loader         l;
    ckit_function *fn;
    loader         stale_loader;
    ckit_function *stale_fn;
    threaded_call  leader, follower, in_store;
} scene;

/* What every child can do, whatever the parent's threads were at. */
static void live(void *context) {
    scene *s = context;
    loader_init(&s->l); /* the parent's gate is not ours */
    s->l.result = 10;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 10, s->fn, 100);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 10, s->fn, 100);
    /* What the parent is computing, reading and writing */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 10, s->fn, 7);
    CHECK_EQ_U(10, call(s->fn, 8).number);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 10, s->fn, 7);
    CHECK_OK(invalidate(s->fn, 7));
    s->l.result = 11;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 11, s->fn, 7);
    CHECK_OK(ckit_function_invalidate(s->fn, NULL, NULL));
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(ckit_cache_invalidate(s->f.cache, &all, NULL, NULL));
    CHECK_OK(ckit_cache_set(s->f.cache, S("key"), S("value"), NULL, NULL));
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(ckit_cache_get(s->f.cache, S("key"), NULL, &value, NULL));
    ckit_value_fini(&value);
    /* Threads of its own: flights and a background refresh */
    threaded_call calls[4];
    memset(calls, 0, sizeof calls);
    loader_shut(&s->l);
    uint64_t waits = stats_of(s->f.cache).flight_waits;
    for (int i = 0; i < 4; i++) {
        call_start(&calls[i], s->fn, 200);
    }
    wait_flight_waits(s->f.cache, waits + 3);
    loader_open(&s->l);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_U(11, call_join(&calls[i]).number);
    }
    if (s->stale_fn != NULL) {
        loader_init(&s->stale_loader);
        s->stale_loader.result = 20;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 20, s->stale_fn, 1);
        fake_clock_advance(&s->f.time, 1500);
        s->stale_loader.result = 21;
        CHECK(call(s->stale_fn, 1).stale);
        wait_until(&s->stale_loader.ended, 2);
        ckit_function_close(s->stale_fn);
    }
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

static void scene_open(scene *s, bool store) {
    memset(s, 0, sizeof *s);
    fixture_prepare(&s->f);
    if (store) {
        fixture_start(&s->f, FAKE_FULL);
    } else {
        fixture_start_memory(&s->f);
    }
    loader_init(&s->l);
    loader_init(&s->stale_loader);
    s->fn = function_of(s->f.cache, "test.load", &s->l, NULL);
}

static void scene_close(scene *s) {
    ckit_function_close(s->stale_fn);
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

CKIT_TEST(fork, a_quiet_cache_works_on_both_sides) {
    skip_under_tsan();
    for (int store = 0; store < 2; store++) {
        scene s;
        scene_open(&s, store != 0);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 1);
        in_child(live, &s);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 1);
        scene_close(&s);
    }
}

CKIT_TEST(fork, while_a_computation_has_a_leader_and_a_follower) {
    skip_under_tsan();
    for (int store = 0; store < 2; store++) {
        scene s;
        scene_open(&s, store != 0);
        loader_shut(&s.l);
        call_start(&s.leader, s.fn, 7);
        loader_wait_stopped(&s.l, 1);
        call_start(&s.follower, s.fn, 7);
        wait_flight_waits(s.f.cache, 1);
        in_child(live, &s);
        loader_open(&s.l);
        CHECK_EQ_U(1, call_join(&s.leader).number);
        CHECK_EQ_U(1, call_join(&s.follower).number);
        scene_close(&s);
    }
}

/* The child's copy of the store has the value that the parent has just written, and nobody there doubts it. */
static void live_with_the_value(void *context) {
    scene *s = context;
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s->fn, 7);
    CHECK_OK(invalidate(s->fn, 7));
    live(s);
}

CKIT_TEST(fork, while_calls_stand_in_the_store) {
    static const fake_op ops[] = {FAKE_GET, FAKE_SET};
    skip_under_tsan();
    for (int i = 0; i < 2; i++) {
        for (int when = FAKE_BEFORE; when <= FAKE_AFTER; when++) {
            scene s;
            scene_open(&s, true);
            fake_shut(s.f.store, ops[i], when == FAKE_BEFORE ? FAKE_BEFORE : FAKE_AFTER);
            call_start(&s.in_store, s.fn, 7);
            fake_wait_stopped(s.f.store, ops[i], 1);
            in_child(ops[i] == FAKE_SET && when == FAKE_AFTER ? live_with_the_value : live, &s);
            fake_open_gate(s.f.store, ops[i]);
            CHECK_EQ_U(1, call_join(&s.in_store).number);
            scene_close(&s);
        }
    }
}

static void open_stale(scene *s) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    s->stale_fn = function_of(s->f.cache, "test.stale", &s->stale_loader, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->stale_fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->stale_fn, 2);
    fake_clock_advance(&s->f.time, 1500);
    loader_shut(&s->stale_loader);
    CHECK(call(s->stale_fn, 1).stale);
    loader_wait_stopped(&s->stale_loader, 1);
}

static void live_and_forget_stale(void *context) {
    scene *s = context;
    CHECK_OK(ckit_function_invalidate(s->stale_fn, NULL, NULL));
    live(s);
}

CKIT_TEST(fork, while_a_refresh_runs_and_another_waits_for_the_worker) {
    skip_under_tsan();
    for (int store = 0; store < 2; store++) {
        scene s;
        scene_open(&s, store != 0);
        ckit_function_close(s.fn);
        ckit_cache_close(s.f.cache);
        s.f.options.workers = 1;
        if (store) {
            fixture_start(&s.f, FAKE_FULL);
        } else {
            fixture_start_memory(&s.f);
        }
        s.fn = function_of(s.f.cache, "test.load", &s.l, NULL);
        open_stale(&s);
        CHECK(call(s.stale_fn, 2).stale); /* its refresh waits in the queue */
        in_child(live_and_forget_stale, &s);
        loader_open(&s.stale_loader);
        wait_until(&s.stale_loader.ended, 4);
        scene_close(&s);
    }
}

static void close_only(void *context) {
    scene *s = context;
    scene_close(s);
}

CKIT_TEST(fork, a_child_may_close_at_once_whatever_was_going_on) {
    skip_under_tsan();
    scene s;
    scene_open(&s, true);
    open_stale(&s);
    loader_shut(&s.l);
    call_start(&s.leader, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    call_start(&s.follower, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    fake_shut(s.f.store, FAKE_GET, FAKE_BEFORE);
    call_start(&s.in_store, s.fn, 8);
    fake_wait_stopped(s.f.store, FAKE_GET, 1);
    in_child(close_only, &s);
    fake_open_gate(s.f.store, FAKE_GET);
    loader_open(&s.l);
    loader_open(&s.stale_loader);
    CHECK_OK(call_join(&s.leader).status);
    CHECK_OK(call_join(&s.follower).status);
    CHECK_OK(call_join(&s.in_store).status);
    scene_close(&s);
}

/* ---- inside the function ----------------------------------------------------------------------------------------- */

static ckit_status fork_inside(void *context, ckit_load *load, ckit_error *err) {
    pid_t *child = context;
    (void)err;
    (void)fflush(NULL);
    *child = fork();
    if (*child == 0) {
        (void)alarm(300);
    }
    ckit_write_int(load->result, 5);
    return CKIT_OK;
}

CKIT_TEST(fork, inside_a_function_both_sides_end_the_call) {
    skip_under_tsan();
    for (int store = 0; store < 2; store++) {
        fixture        f;
        ckit_function *fn;
        pid_t          child = -1;
        ckit_value     value = CKIT_VALUE_INIT;
        fixture_prepare(&f);
        if (store) {
            fixture_start(&f, FAKE_LOCKING);
        } else {
            fixture_start_memory(&f);
        }
        CHECK_OK(ckit_function_new(f.cache, "test.fork", fork_inside, &child, NULL, &fn, NULL));
        CHECK_OK(ckit_call(fn, NULL, &value, NULL));
        CHECK_BYTES(S("\x05"), value.data);
        ckit_value_fini(&value);
        CHECK_OK(ckit_call(fn, NULL, &value, NULL));
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
        ckit_value_fini(&value);
        ckit_function_close(fn);
        fixture_close(&f);
        if (child == 0) {
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- polls ------------------------------------------------------------------------------------------------------- */

typedef struct polled {
    scene      s;
    ckit_poll *poll;
    ckit_op   *ops[5]; /* in the store, behind a worker, leader, follower, in the queue of answers */
    unsigned   readies;
} polled;

static void note_ready(void *context, ckit_op *op, ckit_status st) {
    polled *p = context;
    (void)op;
    (void)st;
    p->readies++;
}

static ckit_op *begin(polled *p, int64_t argument, ckit_status expected) {
    ckit_args  args;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    ckit_start start = {.struct_size = sizeof start,
                        .function = p->s.fn,
                        .args = &args,
                        .poll = p->poll,
                        .ready = note_ready,
                        .context = p};
    CHECK_STATUS(expected, ckit_begin(&start, &op, &value, NULL));
    ckit_args_fini(&args);
    return op;
}

static void wait_readable(ckit_poll *poll_of_ops) {
    struct pollfd watched = {.fd = ckit_poll_fd(poll_of_ops), .events = POLLIN};
    CHECK_EQ_I(1, poll(&watched, 1, 30000));
}

static void use_inherited_poll(void *context) {
    polled    *p = context;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_EQ_U(0, ckit_poll_dispatch(p->poll)); /* nothing comes back here */
    ckit_start start = {
        .struct_size = sizeof start, .function = p->s.fn, .poll = p->poll, .ready = note_ready, .context = p};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_begin(&start, &op, &value, &err), &err);
    /* An operation that this thread leads can be finished, without waiting for anybody. */
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x05")};
    CHECK_OK(ckit_finish(p->ops[2], &result, &value, NULL));
    CHECK_BYTES(S("\x05"), value.data);
    ckit_value_fini(&value);
    for (int i = 0; i < 5; i++) {
        ckit_op_free(p->ops[i]);
    }
    ckit_poll_close(p->poll);
    CHECK_EQ_U(1, p->readies);

    /* Its own poll works. */
    ckit_poll *own;
    CHECK_OK(ckit_poll_new(p->s.f.cache, &own, NULL));
    p->poll = own;
    op = begin(p, 300, CKIT_PENDING);
    wait_readable(own);
    CHECK_EQ_U(1, ckit_poll_dispatch(own));
    ckit_op_free(op);
    ckit_poll_close(own);
    live(&p->s);
}

CKIT_TEST(fork, polls_of_the_parent_are_closed_by_the_child_and_it_opens_its_own) {
    skip_under_tsan();
    polled p;
    memset(&p, 0, sizeof p);
    scene_open(&p.s, true);
    ckit_function_close(p.s.fn);
    ckit_cache_close(p.s.f.cache);
    p.s.f.options.workers = 1;
    fixture_start(&p.s.f, FAKE_FULL);
    p.s.fn = function_of(p.s.f.cache, "test.load", &p.s.l, NULL);
    CHECK_OK(ckit_poll_new(p.s.f.cache, &p.poll, NULL));
    p.ops[2] = begin(&p, 32, CKIT_PENDING);
    wait_readable(p.poll);
    CHECK_EQ_U(1, ckit_poll_dispatch(p.poll)); /* it is to compute */
    p.ops[3] = begin(&p, 32, CKIT_PENDING);
    p.ops[4] = begin(&p, 34, CKIT_PENDING);
    wait_readable(p.poll);
    fake_shut(p.s.f.store, FAKE_GET, FAKE_BEFORE);
    p.ops[0] = begin(&p, 30, CKIT_PENDING);
    fake_wait_stopped(p.s.f.store, FAKE_GET, 1);
    p.ops[1] = begin(&p, 31, CKIT_PENDING);
    in_child(use_inherited_poll, &p);
    wait_readable(p.poll); /* the child has not taken the parent's answers */
    CHECK_EQ_U(1, ckit_poll_dispatch(p.poll));
    fake_open_gate(p.s.f.store, FAKE_GET);
    for (int i = 0; i < 5; i++) {
        ckit_op_free(p.ops[i]);
    }
    ckit_poll_close(p.poll);
    scene_close(&p.s);
}

typedef struct batched {
    scene       s;
    ckit_poll  *poll;
    ckit_batch *computing, *asking; /* the caller has to compute one; the other is with a worker, in the store */
    unsigned    readies;
} batched;

static void note_batch(void *context, ckit_batch *batch, ckit_status st) {
    batched *b = context;
    CHECK(batch == b->computing);
    CHECK_STATUS(CKIT_COMPUTE, st);
    b->readies++;
}

static ckit_batch *begin_batch(batched *b, int64_t argument) {
    ckit_args   args;
    ckit_args  *calls[] = {&args};
    ckit_batch *batch;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    ckit_batch_start start = {.struct_size = sizeof start,
                              .function = b->s.fn,
                              .args = calls,
                              .count = 1,
                              .poll = b->poll,
                              .ready = note_batch,
                              .context = b};
    CHECK_STATUS(CKIT_PENDING, ckit_begin_many(&start, &batch, NULL));
    ckit_args_fini(&args);
    return batch;
}

/* Finishes what is to be computed: with the answer, or to be told of it later. */
static ckit_status finish_batch(ckit_batch *batch, uint64_t number) {
    size_t           count;
    ckit_batch_call *calls = ckit_batch_missing(batch, &count);
    CHECK_EQ_U(1, count);
    write_number(calls[0].result, number, 0);
    return ckit_finish_many(batch, CKIT_OK, NULL);
}

static void use_inherited_batches(void *context) {
    batched   *b = context;
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(finish_batch(b->computing, 5)); /* without waiting for anybody */
    CHECK_OK(ckit_batch_take(b->computing, 0, &value, NULL));
    CHECK_EQ_U(5, read_number(&value));
    ckit_value_fini(&value);
    ckit_batch_free(b->computing);
    ckit_batch_free(b->asking);
    ckit_poll_close(b->poll);
    live(&b->s);
}

CKIT_TEST(fork, batches_of_the_parent_can_be_finished_and_freed_by_the_child) {
    skip_under_tsan();
    batched b;
    memset(&b, 0, sizeof b);
    scene_open(&b.s, true);
    CHECK_OK(ckit_poll_new(b.s.f.cache, &b.poll, NULL));
    b.computing = begin_batch(&b, 42);
    wait_readable(b.poll);
    CHECK_EQ_U(1, ckit_poll_dispatch(b.poll));
    fake_shut(b.s.f.store, FAKE_GET_MANY, FAKE_BEFORE);
    b.asking = begin_batch(&b, 43);
    fake_wait_stopped(b.s.f.store, FAKE_GET_MANY, 1);
    in_child(use_inherited_batches, &b);
    fake_open_gate(b.s.f.store, FAKE_GET_MANY);
    CHECK_STATUS(CKIT_PENDING, finish_batch(b.computing, 6));
    CHECK_EQ_U(1, b.readies);
    ckit_batch_free(b.computing);
    ckit_batch_free(b.asking);
    ckit_poll_close(b.poll);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 6, b.s.fn, 42);
    scene_close(&b.s);
}

typedef struct left {
    fixture        f;
    failing_alloc  fa; /* counts */
    loader         l;
    ckit_function *fn;
    batched        b;
    ckit_op       *asking; /* keeps the only worker busy */
    ckit_batch    *waiting;
} left;

/* Nothing is lost of what waited for a worker of the parent. */
static void free_all_that_was_left(void *context) {
    left *l = context;
    ckit_op_free(l->asking);
    ckit_batch_free(l->waiting);
    ckit_poll_close(l->b.poll);
    ckit_function_close(l->fn);
    fixture_close(&l->f);
    failing_alloc_check_empty(&l->fa);
}

/* The caller is to compute a call and a batch, which hold locks, and frees both: a worker is to let the locks go. */
static void leave_some_to_a_worker(left *l) {
    polled   p = {.s.fn = l->fn, .poll = l->b.poll};
    ckit_op *computing = begin(&p, 41, CKIT_PENDING);
    wait_readable(l->b.poll);
    CHECK_EQ_U(1, ckit_poll_dispatch(l->b.poll));
    l->b.computing = begin_batch(&l->b, 42);
    wait_readable(l->b.poll);
    CHECK_EQ_U(1, ckit_poll_dispatch(l->b.poll));
    fake_shut(l->f.store, FAKE_GET, FAKE_BEFORE);
    l->asking = begin(&p, 30, CKIT_PENDING);
    fake_wait_stopped(l->f.store, FAKE_GET, 1);
    ckit_op_free(computing);
    ckit_batch_free(l->b.computing);
}

CKIT_TEST(fork, what_waits_for_a_worker_of_the_parent_is_freed_in_the_child) {
    skip_under_tsan();
    left l;
    memset(&l, 0, sizeof l);
    failing_alloc_init(&l.fa, FAILING_ALLOC_NEVER);
    fixture_prepare(&l.f);
    l.f.options.alloc = &l.fa.alloc;
    l.f.options.workers = 1;
    fixture_start(&l.f, FAKE_LOCKING_MANY);
    loader_init(&l.l);
    l.fn = l.b.s.fn = function_of(l.f.cache, "test.load", &l.l, NULL);
    CHECK_OK(ckit_poll_new(l.f.cache, &l.b.poll, NULL));
    leave_some_to_a_worker(&l);
    l.waiting = begin_batch(&l.b, 43);
    in_child(free_all_that_was_left, &l);
    fake_open_gate(l.f.store, FAKE_GET);
    free_all_that_was_left(&l);
}

/* ---- again and again --------------------------------------------------------------------------------------------- */

typedef struct storm {
    scene        s;
    _Atomic bool ends;
} storm;

static void *call_around(void *arg) {
    storm *st = arg;
    for (uint64_t i = 0; !atomic_load(&st->ends); i++) {
        (void)call(st->s.fn, (int64_t)(i % 10) + 1000);
        if (i % 5 == 0) {
            (void)invalidate(st->s.fn, (int64_t)(i % 10) + 1000);
        }
        if (i % 7 == 0) {
            (void)ckit_cache_set(st->s.f.cache, S("k"), S("v"), NULL, NULL);
        }
    }
    return NULL;
}

static void live_in_storm(void *context) { live(&((storm *)context)->s); }

CKIT_TEST(fork, at_any_moment_of_a_busy_cache) {
    skip_under_tsan();
    for (int store = 0; store < 2; store++) {
        storm     st;
        pthread_t threads[4];
        scene_open(&st.s, store != 0);
        atomic_init(&st.ends, false);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ_I(0, pthread_create(&threads[i], NULL, call_around, &st));
        }
        for (int i = 0; i < 20; i++) {
            in_child(live_in_storm, &st);
        }
        atomic_store(&st.ends, true);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        scene_close(&st.s);
    }
}
