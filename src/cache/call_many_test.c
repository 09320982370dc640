/* Many calls at once: what they cost the store, who computes, and what goes wrong with some of them. */
#include "cache/cache_fixture.h"

#define MOST 8u

/* A loader for many: gives 10 times the argument. */
typedef struct many_loader {
    loader           gate; /* held up as a single one */
    _Atomic uint64_t runs;
    _Atomic uint64_t loaded[64]; /* how often each argument */
    uint64_t         sizes[8];   /* of the first runs */
    int64_t          refuses;    /* this argument fails; 0: none */
    ckit_status      fails;      /* the whole */
    void (*during)(void *context);
    void *context;
} many_loader;

static int64_t argument_of(const ckit_args *args) {
    ckit_reader r;
    ckit_args_positional(args, &r);
    return ckit_read_int(&r);
}

static ckit_status load_many(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    many_loader *m = context;
    uint64_t     run = atomic_fetch_add(&m->runs, 1);
    ckit_load    gate = {.result = NULL};
    m->gate.silent = true;
    (void)loader_run(&m->gate, &gate, err);
    if (m->during != NULL) {
        m->during(m->context);
    }
    if (run < 8) {
        m->sizes[run] = count;
    }
    if (m->fails != CKIT_OK) {
        return ckit_fail(err, m->fails, "loader", "all of it");
    }
    for (size_t i = 0; i < count; i++) {
        int64_t argument = argument_of(calls[i].args);
        atomic_fetch_add(&m->loaded[argument], 1);
        if (argument == m->refuses) {
            calls[i].status = CKIT_E_FUNCTION;
        } else {
            write_number(calls[i].result, (uint64_t)argument * 10, 0);
        }
    }
    return CKIT_OK;
}

/* A batch and its answers. */
typedef struct many {
    ckit_function *fn;
    many_loader   *loader;
    size_t         count;
    int64_t        arguments[MOST];
    ckit_args      args[MOST];
    ckit_value     out[MOST];
    ckit_status    answers[MOST];
    ckit_status    status;
    ckit_error     err;
    pthread_t      thread;
} many;

static void run_many(many *m) {
    ckit_args *args[MOST];
    for (size_t i = 0; i < m->count; i++) {
        ckit_args_init(&m->args[i]);
        ckit_args_int(&m->args[i], m->arguments[i]);
        args[i] = &m->args[i];
        ckit_value_init(&m->out[i]);
    }
    m->err = (ckit_error)CKIT_ERROR_INIT;
    m->status = ckit_call_many(m->fn, args, m->count, m->loader != NULL ? load_many : NULL, m->loader, m->out,
                               m->answers, &m->err);
    for (size_t i = 0; i < m->count; i++) {
        ckit_args_fini(&m->args[i]);
    }
}

static void *run_in_thread(void *arg) {
    run_many(arg);
    return NULL;
}

static void start_many(many *m) { CHECK_EQ_I(0, pthread_create(&m->thread, NULL, run_in_thread, m)); }

/* Answer i is 10 times its argument, from there. */
static void check_answer(const char *file, int line, many *m, size_t i, ckit_source source) {
    ckit_check_status_err(file, line, "the answer", CKIT_OK, m->answers[i], &m->err);
    ckit_check_u(file, line, "its number", (uint64_t)m->arguments[i] * 10, read_number(&m->out[i]));
    ckit_check_u(file, line, "its source", source, m->out[i].source);
    ckit_value_fini(&m->out[i]);
}
#define CHECK_ANSWER(source, m, i) check_answer(__FILE__, __LINE__, (m), (i), (source))

typedef struct scene {
    fixture        f;
    loader         l; /* of single calls: gives 1 */
    many_loader    m;
    ckit_function *fn;
} scene;

static void scene_start(scene *s, bool store, fake_kind kind) {
    if (store) {
        fixture_start(&s->f, kind);
    } else {
        fixture_start_memory(&s->f);
    }
    loader_init(&s->l);
    memset(&s->m, 0, sizeof s->m);
    loader_init(&s->m.gate);
    s->fn = function_of(s->f.cache, "test.load", &s->l, NULL);
}

static void scene_open(scene *s, fake_kind kind) {
    fixture_prepare(&s->f);
    scene_start(s, true, kind);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

/* ---- what it costs ------------------------------------------------------------------------------------------------- */

CKIT_TEST(call_many, costs_one_read_one_run_of_the_loader_and_one_write) {
    scene s;
    scene_open(&s, FAKE_LOCKING);
    many first = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&first);
    CHECK_OK_ERR(first.status, &first.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &first, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &first, 1);
    CHECK_STR("get_many OK, set_many OK", fake_log(s.f.store));

    ckit_cache    *other = fixture_cache(&s.f, FAKE_LOCKING);
    ckit_function *same = function_of(other, "test.load", &s.l, NULL);
    many           in_memory = {.fn = same, .loader = &s.m, .count = 1, .arguments = {2}};
    run_many(&in_memory);
    CHECK_ANSWER(CKIT_SOURCE_STORE, &in_memory, 0);
    fake_forget_calls(s.f.store);

    many m = {.fn = same, .loader = &s.m, .count = 5, .arguments = {3, 2, 4, 1, 5}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_ANSWER(CKIT_SOURCE_MEMORY, &m, 1);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 2);
    CHECK_ANSWER(CKIT_SOURCE_STORE, &m, 3);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 4);
    CHECK_STR("get_many OK, set_many OK", fake_log(s.f.store));
    CHECK_EQ_U(2, s.m.runs);
    CHECK_EQ_U(3, s.m.sizes[1]);
    CHECK_EQ_U(5, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 50, same, 5);
    ckit_function_close(same);
    ckit_cache_close(other);
    scene_close(&s);
}

CKIT_TEST(call_many, works_over_any_store_and_without_one) {
    static const fake_kind kinds[] = {FAKE_REQUIRED, FAKE_FULL, FAKE_LOCKING, FAKE_SUBMITTING};
    for (size_t i = 0; i <= sizeof kinds / sizeof kinds[0]; i++) {
        scene s;
        fixture_prepare(&s.f);
        scene_start(&s, i > 0, kinds[i > 0 ? i - 1 : 0]);
        for (int again = 0; again < 2; again++) {
            many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
            run_many(&m);
            CHECK_OK_ERR(m.status, &m.err);
            for (size_t k = 0; k < 3; k++) {
                CHECK_ANSWER(again ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m, k);
            }
        }
        CHECK_EQ_U(1, s.m.runs);
        scene_close(&s);
    }
}

CKIT_TEST(call_many, computes_the_same_call_once) {
    scene s;
    scene_open(&s, FAKE_FULL);
    many m = {.fn = s.fn, .loader = &s.m, .count = 5, .arguments = {7, 8, 7, 7, 8}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    for (size_t i = 0; i < 5; i++) {
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, i);
    }
    CHECK_EQ_U(2, s.m.sizes[0]);
    scene_close(&s);
}

CKIT_TEST(call_many, without_a_loader_for_many_runs_the_function_s_own) {
    scene s;
    scene_open(&s, FAKE_FULL);
    many m = {.fn = s.fn, .count = 3, .arguments = {1, 2, 3}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ_U(1, read_number(&m.out[i]));
        ckit_value_fini(&m.out[i]);
    }
    CHECK_EQ_U(3, s.l.runs);
    CHECK_STR("get_many OK, set_many OK", fake_log(s.f.store));
    ckit_function *bare = function_of(s.f.cache, "test.bare", NULL, NULL);
    m.fn = bare;
    run_many(&m);
    CHECK_STATUS(CKIT_E_MISUSE, m.status);
    CHECK_STATUS(CKIT_E_MISUSE, m.answers[2]);
    m.count = 0;
    m.fn = s.fn;
    run_many(&m);
    CHECK_OK(m.status);
    ckit_function_close(bare);
    scene_close(&s);
}

/* ---- failures ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(call_many, keeps_a_failure_to_the_call_that_failed) {
    scene s;
    scene_open(&s, FAKE_FULL);
    s.m.refuses = 2;
    many m = {.fn = s.fn, .loader = &s.m, .count = 4, .arguments = {1, 2, 3, 2}};
    run_many(&m);
    CHECK_STATUS(CKIT_E_FUNCTION, m.status);
    CHECK_STATUS(CKIT_E_FUNCTION, m.err.status);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_STATUS(CKIT_E_FUNCTION, m.answers[1]);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 2);
    CHECK_STATUS(CKIT_E_FUNCTION, m.answers[3]);
    CHECK_EQ_U(1, s.m.loaded[2]);
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).function_errors);
    s.m.refuses = 0;
    m.arguments[3] = 4;
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_EQ_U(2, s.m.sizes[1]); /* a failure is not cached */
    for (size_t i = 0; i < 4; i++) {
        CHECK_ANSWER(i % 2 == 0 ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m, i);
    }
    scene_close(&s);
}

CKIT_TEST(call_many, fails_altogether_when_the_loader_does) {
    scene s;
    scene_open(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 1);
    s.m.fails = CKIT_E_NETWORK;
    many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {2, 1, 3}};
    run_many(&m);
    CHECK_STATUS(CKIT_E_NETWORK, m.status);
    CHECK_CONTAINS("all of it", m.err.text);
    CHECK_STATUS(CKIT_E_NETWORK, m.answers[0]);
    CHECK_OK(m.answers[1]);
    CHECK_EQ_U(1, read_number(&m.out[1]));
    CHECK_STATUS(CKIT_E_NETWORK, m.answers[2]);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 2); /* nothing holds it up */
    scene_close(&s);
}

CKIT_TEST(call_many, survives_a_store_that_fails_in_the_middle) {
    static const struct {
        fake_op     op;
        ckit_status status;
        uint64_t    times;
    } troubles[] = {{FAKE_GET_MANY, CKIT_E_TIMEOUT, 1},
                    {FAKE_GET, CKIT_E_IO, 2},
                    {FAKE_SET_MANY, CKIT_E_NETWORK, 1},
                    {FAKE_SET, CKIT_E_NO_SPACE, 1},
                    {FAKE_SET, CKIT_E_TOO_LARGE, 1}};
    for (size_t t = 0; t < sizeof troubles / sizeof troubles[0]; t++) {
        scene s;
        scene_open(&s, FAKE_FULL);
        fake_fail(s.f.store, troubles[t].op, troubles[t].status, troubles[t].times);
        many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
        run_many(&m);
        CHECK_OK_ERR(m.status, &m.err);
        for (size_t i = 0; i < 3; i++) {
            CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, i);
        }
        CHECK_EQ_U(1, s.m.runs);
        CHECK(stats_of(s.f.cache).l2_errors + stats_of(s.f.cache).too_large >= 1);
        scene_close(&s);
    }
}

CKIT_TEST(call_many, failing_closed_a_store_that_cannot_be_read_is_the_caller_s_error) {
    scene                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    scene_open(&s, FAKE_FULL);
    options.fail_closed = true;
    ckit_function *fn = function_of(s.f.cache, "test.closed", &s.l, &options);
    fake_fail(s.f.store, FAKE_GET_MANY, CKIT_E_IO, 1);
    many m = {.fn = fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
    run_many(&m);
    CHECK_STATUS(CKIT_E_IO, m.status);
    for (size_t i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_E_IO, m.answers[i]);
    }
    CHECK_EQ_U(0, s.m.runs);
    run_many(&m);
    for (size_t i = 0; i < 3; i++) {
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, i);
    }
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(call_many, an_older_value_stands_in_for_a_store_that_cannot_be_read) {
    scene                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    scene_open(&s, FAKE_FULL);
    options.ttl_ms = 1000;
    options.fail_safe_ms = 5000;
    ckit_function *fn = function_of(s.f.cache, "test.safe", &s.l, &options);
    many           m = {.fn = fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    for (int round = 0; round < 2; round++) {
        run_many(&m);
        for (size_t i = 0; i < 2; i++) {
            CHECK_EQ_U(round == 1, m.out[i].stale);
            CHECK_ANSWER(round == 1 ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m, i);
        }
        fake_clock_advance(&s.f.time, 2000);
        fake_fail(s.f.store, FAKE_GET_MANY, CKIT_E_IO, 1);
    }
    CHECK_EQ_U(1, s.m.runs);
    ckit_function_close(fn);
    scene_close(&s);
}

static void invalidate_two(void *context) {
    scene *s = context;
    CHECK(invalidate(s->fn, 2) <= CKIT_MISS);
}

CKIT_TEST(call_many, does_not_keep_what_was_invalidated_meanwhile) {
    scene s;
    scene_open(&s, FAKE_FULL);
    s.m.during = invalidate_two;
    s.m.context = &s;
    many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    for (size_t i = 0; i < 3; i++) {
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, i);
    }
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 10, s.fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 2);
    scene_close(&s);
}

CKIT_TEST(call_many, takes_back_what_was_invalidated_while_it_was_written) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fake_shut(s.f.store, FAKE_SET_MANY, FAKE_AFTER);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    start_many(&m);
    fake_wait_stopped(s.f.store, FAKE_SET_MANY, 1);
    CHECK(invalidate(s.fn, 2) <= CKIT_MISS);
    fake_open_gate(s.f.store, FAKE_SET_MANY);
    CHECK_EQ_I(0, pthread_join(m.thread, NULL));
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 1);
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 2);
    scene_close(&s);
}

/* ---- flights ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(call_many, is_waited_for_by_single_calls) {
    scene         s;
    threaded_call single = {0};
    scene_open(&s, FAKE_LOCKING);
    loader_shut(&s.m.gate);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    start_many(&m);
    loader_wait_stopped(&s.m.gate, 1);
    call_start(&single, s.fn, 2);
    wait_flight_waits(s.f.cache, 1);
    loader_open(&s.m.gate);
    CHECK_EQ_I(0, pthread_join(m.thread, NULL));
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 1);
    answer a = call_join(&single);
    CHECK_OK(a.status);
    CHECK_EQ_U(20, a.number);
    CHECK_EQ_U(CKIT_SOURCE_FLIGHT, a.source);
    CHECK_EQ_U(0, s.l.runs);
    scene_close(&s);
}

CKIT_TEST(call_many, waits_for_single_calls_after_it_has_computed_its_own) {
    for (int fails = 0; fails < 2; fails++) {
        scene         s;
        threaded_call single = {0};
        scene_open(&s, FAKE_LOCKING);
        s.l.result = 20;
        loader_shut(&s.l);
        if (fails) {
            loader_fail(&s.l, CKIT_E_FUNCTION, 1);
        }
        call_start(&single, s.fn, 2);
        loader_wait_stopped(&s.l, 1);
        many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
        start_many(&m);
        wait_until(&s.m.runs, 1);
        CHECK_EQ_U(10, call(s.fn, 1).number); /* the batch's own does not wait for the rest */
        loader_open(&s.l);
        CHECK_EQ_I(0, pthread_join(m.thread, NULL));
        CHECK_STATUS(fails ? CKIT_E_FUNCTION : CKIT_OK, call_join(&single).status);
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
        CHECK_ANSWER(fails ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_FLIGHT, &m, 1); /* else the batch takes over */
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 2);
        CHECK_EQ_U(fails ? 2 : 1, s.m.runs);
        CHECK_EQ_U(2, s.m.sizes[0]);
        scene_close(&s);
    }
}

CKIT_TEST(call_many, of_others_in_another_order_ends_and_each_call_is_computed_once) {
    scene s;
    scene_open(&s, FAKE_FULL);
    loader_shut(&s.m.gate);
    many a = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
    many b = {.fn = s.fn, .loader = &s.m, .count = 4, .arguments = {4, 3, 2, 5}};
    many c = {.fn = s.fn, .loader = &s.m, .count = 5, .arguments = {5, 4, 3, 2, 1}};
    start_many(&a);
    loader_wait_stopped(&s.m.gate, 1);
    start_many(&b);
    loader_wait_stopped(&s.m.gate, 2);
    start_many(&c);
    wait_flight_waits(s.f.cache, 7);
    loader_open(&s.m.gate);
    CHECK_EQ_I(0, pthread_join(a.thread, NULL));
    CHECK_EQ_I(0, pthread_join(b.thread, NULL));
    CHECK_EQ_I(0, pthread_join(c.thread, NULL));
    CHECK_OK(a.status);
    CHECK_OK(b.status);
    CHECK_OK(c.status);
    for (size_t i = 0; i < 5; i++) {
        CHECK_ANSWER(CKIT_SOURCE_FLIGHT, &c, i);
        CHECK_EQ_U(1, s.m.loaded[i + 1]);
    }
    for (size_t i = 0; i < 3; i++) {
        ckit_value_fini(&a.out[i]);
        ckit_value_fini(&b.out[i]);
    }
    ckit_value_fini(&b.out[3]);
    CHECK_EQ_U(2, s.m.runs);
    scene_close(&s);
}

typedef struct crowd {
    scene    *s;
    unsigned  self;
    pthread_t thread;
} crowd;

static void *call_many_rounds(void *arg) {
    crowd *c = arg;
    for (unsigned round = 0; round < 60; round++) {
        many m = {.fn = c->s->fn, .loader = &c->s->m, .count = MOST};
        for (unsigned i = 0; i < MOST; i++) { /* the same keys, each in another order */
            m.arguments[i] = 1 + (round + (c->self % 2 == 0 ? i : MOST - i) * (2 * (c->self / 2) + 1)) % 60;
        }
        run_many(&m);
        CHECK_OK_ERR(m.status, &m.err);
        for (unsigned i = 0; i < MOST; i++) {
            CHECK_EQ_U((uint64_t)m.arguments[i] * 10, read_number(&m.out[i]));
            ckit_value_fini(&m.out[i]);
        }
    }
    return NULL;
}

CKIT_TEST(call_many, by_many_threads_in_many_orders_computes_each_call_once) {
    scene s;
    crowd crowds[6];
    scene_open(&s, FAKE_FULL);
    fake_dawdle(s.f.store, true);
    for (unsigned i = 0; i < 6; i++) {
        crowds[i] = (crowd){.s = &s, .self = i};
        CHECK_EQ_I(0, pthread_create(&crowds[i].thread, NULL, call_many_rounds, &crowds[i]));
    }
    for (unsigned i = 0; i < 6; i++) {
        CHECK_EQ_I(0, pthread_join(crowds[i].thread, NULL));
    }
    for (unsigned i = 1; i < 61; i++) {
        CHECK(s.m.loaded[i] <= 1);
    }
    scene_close(&s);
}

static void call_two(void *context) {
    scene *s = context;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 2);
    s->m.during = NULL;
    many inner = {.fn = s->fn, .loader = &s->m, .count = 2, .arguments = {1, 3}};
    run_many(&inner);
    CHECK_OK_ERR(inner.status, &inner.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &inner, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &inner, 1);
}

CKIT_TEST(call_many, whose_loader_makes_the_same_calls_does_not_wait_for_itself) {
    scene s;
    scene_open(&s, FAKE_LOCKING);
    s.m.during = call_two;
    s.m.context = &s;
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 1);
    scene_close(&s);
}

CKIT_TEST(call_many, waits_no_longer_than_a_single_call) {
    scene         s;
    threaded_call single = {0};
    fixture_prepare(&s.f);
    s.f.options.flight_wait_ms = 20;
    scene_start(&s, true, FAKE_FULL);
    loader_shut(&s.l);
    call_start(&single, s.fn, 2);
    loader_wait_stopped(&s.l, 1);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 1);
    CHECK_CONTAINS("took more than 20 ms", s.f.log.text);
    loader_open(&s.l);
    CHECK_EQ_U(1, call_join(&single).number);
    scene_close(&s);
}

/* ---- what is stale, and what has no key ----------------------------------------------------------------------------- */

CKIT_TEST(call_many, takes_stale_values_where_the_function_can_refresh_them) {
    for (int own = 0; own < 2; own++) {
        scene                 s;
        ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
        options.ttl_ms = 1000;
        options.stale_ms = 1000;
        scene_open(&s, FAKE_FULL);
        ckit_function *fn = function_of(s.f.cache, "test.stale", own ? &s.l : NULL, &options);
        many           m = {.fn = fn, .loader = &s.m, .count = 1, .arguments = {1}};
        run_many(&m);
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
        fake_clock_advance(&s.f.time, 1500);
        run_many(&m);
        CHECK_EQ_I(own, m.out[0].stale);
        CHECK_ANSWER(own ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m, 0);
        if (own) {
            wait_until(&s.l.ended, 1);
        }
        CHECK_EQ_U(own ? 1 : 2, s.m.runs);
        ckit_function_close(fn);
        scene_close(&s);
    }
}
