/* Many pollable operations, and more than the queue takes. Of queue.c and workers.c. */
#include "cache/poll_fixture.h"

#include <stdlib.h>

/* ---- many, and too many ------------------------------------------------------------------------------------------ */

static void run_many(fake_kind kind, int count) {
    loop     lp;
    pending *p = calloc((size_t)count, sizeof *p);
    CHECK(p != NULL);
    fixture_prepare(&lp.f);
    lp.f.options.queue_max = 10000;
    loop_start(&lp, true, kind);
    for (int i = 0; i < count; i++) { /* each key twice: a leader and a follower */
        p[i].number = (uint64_t)i / 2;
        (void)begin_call(&lp, &p[i], i / 2);
    }
    for (int i = 0; i < count; i++) {
        run(&lp, &p[i]);
        CHECK_OK(p[i].answer);
        CHECK_EQ_U((uint64_t)i / 2, read_number(&p[i].value));
        ckit_value_fini(&p[i].value);
    }
    CHECK_EQ_U((uint64_t)count / 2, stats_of(lp.f.cache).computed);
    /* Keys that share a version by chance may overtake each other, so that a few are not kept. */
    CHECK_BETWEEN_U((uint64_t)count * 9 / 20, (uint64_t)count / 2, stats_of(lp.f.cache).l2_writes);
    free(p);
    loop_close(&lp);
}

CKIT_TEST(poll, thousands_of_operations_on_one_poll_all_end) {
    run_many(FAKE_LOCKING, 2000);
    run_many(FAKE_SUBMITTING, 2000);
    run_many(FAKE_SUBMITTING_AT_ONCE, 2000);
}

static void check_full_queue(fake_kind kind) {
    enum { COUNT = 50 };
    loop    lp;
    pending p[COUNT];
    memset(p, 0, sizeof p);
    fixture_prepare(&lp.f);
    lp.f.options.queue_max = 2;
    lp.f.options.workers = 1;
    loop_start(&lp, true, kind);
    fake_shut(lp.f.store, FAKE_GET, FAKE_BEFORE);
    for (int i = 0; i < COUNT; i++) {
        p[i].number = (uint64_t)i;
        (void)begin_call(&lp, &p[i], i);
        if (i == 0) { /* a worker that took it later would leave a place to one of the last */
            fake_wait_stopped(lp.f.store, FAKE_GET, 1);
        }
    }
    while (!p[COUNT - 1].done) { /* those that found no place have computed */
        (void)loop_turn(&lp);
    }
    fake_open_gate(lp.f.store, FAKE_GET);
    for (int i = 0; i < COUNT; i++) {
        run(&lp, &p[i]);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, (uint64_t)i, &p[i]);
    }
    unsigned kept = 0;
    for (int i = 0; i < COUNT; i++) { /* memory has it even then */
        kept += call(lp.fn, i).source == CKIT_SOURCE_MEMORY;
    }
    CHECK_BETWEEN_U(COUNT - 4, COUNT, kept);
    loop_close(&lp);
}

CKIT_TEST(poll, a_full_queue_falls_back_to_computing) { check_full_queue(FAKE_FULL); }

CKIT_TEST(poll, a_queue_that_is_full_when_the_store_answers_loses_nothing) {
    loop    lp;
    pending busy = {.number = 1}, waiting = {.number = 2}, p = {.number = 3};
    fixture_prepare(&lp.f);
    lp.f.options.queue_max = 1;
    lp.f.options.workers = 1;
    lp.f.options.l1 = CKIT_OFF; /* no sweep */
    loop_start(&lp, true, FAKE_SUBMITTING);
    ckit_cache    *other = fixture_cache(&lp.f, FAKE_FULL);
    ckit_function *same = function_of(other, "test.load", &lp.l, NULL);
    lp.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, same, 7);
    /* One worker stands in the store with a set, one job waits: a third finds no place. */
    fake_shut(lp.f.store, FAKE_SET, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &busy, 1));
    (void)loop_turn(&lp);
    fake_wait_stopped(lp.f.store, FAKE_SET, 1);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &waiting, 2)); /* its answer waits for the worker */
    fake_wait_calls(lp.f.store, FAKE_SUBMIT, 2);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7)); /* hits, but nobody can open it */
    while (!p.done) {
        (void)loop_turn(&lp);
    }
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 3, &p);
    fake_open_gate(lp.f.store, FAKE_SET);
    run(&lp, &busy);
    run(&lp, &waiting);
    ckit_value_fini(&busy.value);
    ckit_value_fini(&waiting.value);
    CHECK_CALL(CKIT_SOURCE_STORE, 3, same, 7); /* what the store holds is in order */
    ckit_function_close(same);
    ckit_cache_close(other);
    loop_close(&lp);
}

typedef struct chain {
    loop    *lp;
    pending  p;
    unsigned left;
    unsigned rounds;
} chain;

static void begin_next(chain *c);

static void on_chained(void *context, ckit_op *op, ckit_status came) {
    chain *c = context;
    on_ready(&c->p, op, came);
    if (c->p.done) {
        CHECK_OK(c->p.answer);
        ckit_value_fini(&c->p.value);
        begin_next(c);
    }
}

static void begin_next(chain *c) {
    ckit_args args;
    ckit_op  *op;
    if (c->left-- == 0) {
        c->left = 0;
        c->rounds++;
        return;
    }
    c->p = (pending){.number = 1};
    ckit_args_init(&args);
    ckit_args_uint(&args, c->left);
    ckit_start start = {.struct_size = sizeof start,
                        .function = c->lp->fn,
                        .args = &args,
                        .poll = c->lp->poll,
                        .ready = on_chained,
                        .context = c};
    CHECK_STATUS(CKIT_PENDING, ckit_begin(&start, &op, &c->p.value, NULL));
    ckit_args_fini(&args);
}

CKIT_TEST(poll, ready_may_begin_finish_and_free_operations) {
    loop  lp;
    chain c = {.left = 20};
    loop_open(&lp, FAKE_SUBMITTING_AT_ONCE);
    c.lp = &lp;
    begin_next(&c);
    while (c.rounds == 0) {
        (void)loop_turn(&lp);
    }
    CHECK_EQ_U(20, fake_count(lp.f.store));
    loop_close(&lp);
}

typedef struct other_thread {
    loop            *lp;
    pending          p[200];
    _Atomic uint64_t ended;
    pthread_t        thread;
} other_thread;

typedef struct call_elsewhere {
    other_thread *t;
    int           i;
} call_elsewhere;

static void on_ready_elsewhere(void *context, ckit_op *op, ckit_status came) {
    call_elsewhere *c = context;
    pending        *p = &c->t->p[c->i];
    on_ready(p, op, came);
    if (p->done) {
        CHECK_OK(p->answer);
        ckit_value_fini(&p->value);
        atomic_fetch_add(&c->t->ended, 1);
        free(c);
    }
}

static void *begin_elsewhere(void *arg) {
    other_thread *t = arg;
    for (int i = 0; i < 200; i++) {
        ckit_args       args;
        ckit_op        *op;
        ckit_value      value = CKIT_VALUE_INIT;
        call_elsewhere *c = malloc(sizeof *c);
        CHECK(c != NULL);
        *c = (call_elsewhere){t, i};
        t->p[i].number = 1;
        ckit_args_init(&args);
        ckit_args_int(&args, i / 4);
        ckit_start  start = {.struct_size = sizeof start,
                             .function = t->lp->fn,
                             .args = &args,
                             .poll = t->lp->poll,
                             .ready = on_ready_elsewhere,
                             .context = c};
        ckit_status st = ckit_begin(&start, &op, &value, NULL);
        CHECK(st == CKIT_PENDING || st == CKIT_OK);
        if (st == CKIT_OK) {
            ckit_value_fini(&value);
            atomic_fetch_add(&t->ended, 1);
            free(c);
        }
        ckit_args_fini(&args);
    }
    return NULL;
}

CKIT_TEST(poll, operations_may_be_begun_in_another_thread_than_the_one_that_dispatches) {
    static const fake_kind kinds[] = {FAKE_LOCKING, FAKE_SUBMITTING};
    for (int k = 0; k < 2; k++) {
        loop          lp;
        other_thread *t = calloc(1, sizeof *t);
        CHECK(t != NULL);
        loop_open(&lp, kinds[k]);
        t->lp = &lp;
        CHECK_EQ_I(0, pthread_create(&t->thread, NULL, begin_elsewhere, t));
        while (atomic_load(&t->ended) < 200) {
            (void)ckit_poll_dispatch(lp.poll);
            breathe();
        }
        pthread_join(t->thread, NULL);
        loop_close(&lp);
        free(t);
    }
}
