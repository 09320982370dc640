/* Many calls at once in an event loop. */
#include "cache/many_fixture.h"
#include "cache/poll_fixture.h"

/* A batch in a loop: computes with a loader when it is told to. */
typedef struct pending_batch {
    ckit_batch *batch;
    many_loader m;
    bool        holds; /* waits for the test when it is to compute */
    unsigned    readies;
    bool        done;
    ckit_status answer;
    ckit_error  err;
} pending_batch;

static void go_on(pending_batch *p, ckit_status answer);

static void finish_batch(pending_batch *p) {
    size_t           count;
    ckit_batch_call *calls = ckit_batch_missing(p->batch, &count);
    CHECK(count > 0);
    ckit_status st = load_many(&p->m, calls, count, &p->err);
    go_on(p, ckit_finish_many(p->batch, st, &p->err));
}

static void go_on(pending_batch *p, ckit_status came) {
    p->answer = came;
    p->done = came == CKIT_OK;
    if (came == CKIT_COMPUTE && !p->holds) {
        finish_batch(p);
    }
}

static void on_batch(void *context, ckit_batch *batch, ckit_status came) {
    pending_batch *p = context;
    p->readies++;
    CHECK(p->batch == batch);
    go_on(p, came);
}

static ckit_status begin_batch(loop *lp, pending_batch *p, const int64_t *arguments, size_t count) {
    ckit_args  args[MOST];
    ckit_args *each[MOST];
    CHECK(count <= MOST);
    for (size_t i = 0; i < count; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], arguments[i]);
        each[i] = &args[i];
    }
    ckit_batch_start start = {.struct_size = sizeof start,
                              .function = lp->fn,
                              .args = each,
                              .count = count,
                              .poll = lp->poll,
                              .ready = on_batch,
                              .context = p};
    p->err = (ckit_error)CKIT_ERROR_INIT;
    ckit_status st = ckit_begin_many(&start, &p->batch, &p->err);
    for (size_t i = 0; i < count; i++) {
        ckit_args_fini(&args[i]);
    }
    go_on(p, st);
    return st;
}

static void run_batch(loop *lp, pending_batch *p) {
    while (!p->done) {
        (void)loop_turn(lp);
    }
}

static void batch_init(pending_batch *p) {
    memset(p, 0, sizeof *p);
    loader_init(&p->m.gate);
}

/* Call i has 10 times its argument, from there. */
static void check_call_of(const char *file, int line, pending_batch *p, size_t i, int64_t argument,
                          ckit_source source) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_check_status(file, line, "the answer", CKIT_OK, ckit_batch_take(p->batch, i, &value, NULL));
    ckit_check_u(file, line, "its number", (uint64_t)argument * 10, read_number(&value));
    ckit_check_u(file, line, "its source", source, value.source);
    ckit_value_fini(&value);
}
#define CHECK_TAKEN(source, p, i, argument) check_call_of(__FILE__, __LINE__, (p), (i), (argument), (source))

CKIT_TEST(batch, asks_the_store_once_and_the_loader_once) {
    static const int64_t arguments[] = {1, 2, 1, 3};
    loop                 lp;
    pending_batch        p;
    loop_open(&lp, FAKE_FULL);
    batch_init(&p);
    CHECK_STATUS(CKIT_PENDING, begin_batch(&lp, &p, arguments, 4));
    run_batch(&lp, &p);
    for (size_t i = 0; i < 4; i++) {
        CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, i, arguments[i]);
    }
    ckit_batch_free(p.batch);
    CHECK_EQ_U(1, p.m.runs);
    CHECK_EQ_U(3, p.m.sizes[0]);
    CHECK_EQ_U(2, p.readies); /* to compute, and when the store has it */
    CHECK_STR("get_many OK, set_many OK", fake_log(lp.f.store));

    CHECK_OK(begin_batch(&lp, &p, arguments, 4)); /* all of it in memory */
    for (size_t i = 0; i < 4; i++) {
        CHECK_TAKEN(CKIT_SOURCE_MEMORY, &p, i, arguments[i]);
    }
    ckit_batch_free(p.batch);
    CHECK_EQ_U(1, p.m.runs);
    loop_close(&lp);
}

CKIT_TEST(batch, without_a_store_computes_at_once) {
    static const int64_t arguments[] = {1, 2};
    loop                 lp;
    pending_batch        p;
    fixture_prepare(&lp.f);
    loop_start(&lp, false, FAKE_FULL);
    batch_init(&p);
    p.holds = true;
    CHECK_STATUS(CKIT_COMPUTE, begin_batch(&lp, &p, arguments, 2));
    finish_batch(&p);
    CHECK_OK(p.answer);
    CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, 1, 2);
    CHECK_EQ_U(0, p.readies);
    ckit_batch_free(p.batch); /* and the other value with it */
    CHECK_OK(begin_batch(&lp, &p, arguments, 0));
    ckit_batch_free(p.batch);
    loop_close(&lp);
}

CKIT_TEST(batch, makes_the_same_decisions_as_a_blocking_one) {
    static const int64_t   arguments[] = {1, 2, 3, 2};
    static const fake_kind kinds[] = {FAKE_REQUIRED,     FAKE_FULL,     FAKE_LOCKING,
                                      FAKE_LOCKING_MANY, FAKE_UNFENCED, FAKE_SUBMITTING};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        loop          lp;
        pending_batch p;
        scene         s;
        loop_open(&lp, kinds[k]);
        batch_init(&p);
        p.m.refuses = 2;
        (void)begin_batch(&lp, &p, arguments, 4);
        run_batch(&lp, &p);
        scene_open(&s, kinds[k]);
        s.m.refuses = 2;
        many m = {.fn = s.fn, .loader = &s.m, .count = 4, .arguments = {1, 2, 3, 2}};
        run_many(&m);
        for (size_t i = 0; i < 4; i++) {
            ckit_value value = CKIT_VALUE_INIT;
            CHECK_STATUS(m.answers[i], ckit_batch_take(p.batch, i, &value, NULL));
            CHECK_EQ_I(m.out[i].source, value.source);
            ckit_value_fini(&value);
            ckit_value_fini(&m.out[i]);
        }
        CHECK_STR(fake_log(s.f.store), fake_log(lp.f.store));
        ckit_batch_free(p.batch);
        scene_close(&s);
        loop_close(&lp);
    }
}

CKIT_TEST(batch, tells_of_each_failure_and_of_a_wrong_use) {
    static const int64_t arguments[] = {1, 2, 3};
    loop                 lp;
    pending_batch        p;
    ckit_value           value = CKIT_VALUE_INIT;
    ckit_error           err = CKIT_ERROR_INIT;
    ckit_batch          *none;
    ckit_batch_start     wrong = {.struct_size = sizeof wrong};
    loop_open(&lp, FAKE_FULL);
    wrong = (ckit_batch_start){.struct_size = sizeof(ckit_batch_start), .function = lp.fn, .poll = lp.poll};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_begin_many(&wrong, &none, NULL));
    wrong = (ckit_batch_start){.function = lp.fn};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_begin_many(&wrong, &none, &err), &err);
    CHECK_CONTAINS("begin with CKIT_BATCH_START_INIT", err.text);
    err = (ckit_error)CKIT_ERROR_INIT;
    batch_init(&p);
    p.m.refuses = 2;
    p.holds = true;
    (void)begin_batch(&lp, &p, arguments, 3);
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_COMPUTE, p.answer);
    CHECK_STATUS(CKIT_PENDING, ckit_batch_take(p.batch, 0, &value, NULL));
    p.holds = false;
    finish_batch(&p);
    run_batch(&lp, &p);
    CHECK_STATUS(CKIT_E_FUNCTION, ckit_batch_take(p.batch, 1, &value, &err));
    CHECK_STATUS(CKIT_E_FUNCTION, err.status);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_batch_take(p.batch, 3, &value, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_finish_many(p.batch, CKIT_OK, NULL));
    CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, 2, 3);
    ckit_batch_free(p.batch);
    ckit_batch_free(NULL);
    loop_close(&lp);
}

CKIT_TEST(batch, waits_for_others_without_a_thread_and_takes_over_when_they_fail) {
    static const int64_t arguments[] = {1, 2};
    for (int fails = 0; fails < 2; fails++) {
        loop          lp;
        pending_batch p;
        threaded_call single = {0};
        loop_open(&lp, FAKE_FULL);
        batch_init(&p);
        lp.l.result = 20;
        loader_shut(&lp.l);
        if (fails) {
            loader_fail(&lp.l, CKIT_E_FUNCTION, 1);
        }
        call_start(&single, lp.fn, 2);
        loader_wait_stopped(&lp.l, 1);
        CHECK_STATUS(CKIT_PENDING, begin_batch(&lp, &p, arguments, 2));
        (void)loop_turn(&lp);
        CHECK_EQ_U(1, p.m.runs); /* its own does not wait for the rest */
        CHECK_EQ_U(1, p.m.sizes[0]);
        loader_open(&lp.l);
        run_batch(&lp, &p);
        CHECK_STATUS(fails ? CKIT_E_FUNCTION : CKIT_OK, call_join(&single).status);
        CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, 0, 1);
        CHECK_TAKEN(fails ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_FLIGHT, &p, 1, 2);
        CHECK_EQ_U(fails ? 2 : 1, p.m.runs);
        ckit_batch_free(p.batch);
        loop_close(&lp);
    }
}

CKIT_TEST(batch, waits_no_longer_for_others_than_a_single_call) {
    static const int64_t arguments[] = {2};
    loop                 lp;
    pending_batch        p;
    threaded_call        single = {0};
    loop_open(&lp, FAKE_FULL);
    batch_init(&p);
    loader_shut(&lp.l);
    call_start(&single, lp.fn, 2);
    loader_wait_stopped(&lp.l, 1);
    CHECK_STATUS(CKIT_PENDING, begin_batch(&lp, &p, arguments, 1));
    fake_clock_advance(&lp.f.time, 60001);
    run_batch(&lp, &p);
    CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, 0, 2);
    CHECK_CONTAINS("took more than 60000 ms", lp.f.log.text);
    ckit_batch_free(p.batch);
    loader_open(&lp.l);
    CHECK_OK(call_join(&single).status);
    loop_close(&lp);
}

static ckit_function *limited(loop *lp) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    options.fail_safe_ms = 5000;
    options.hard_limit_ms = 40;
    return function_of(lp->f.cache, "test.limited", &lp->l, &options);
}

/* Call `i` has 10 times the argument by now, or instead. */
static void check_instead(const char *file, int line, ckit_batch *batch, size_t i, ckit_status status, bool stale,
                          int64_t argument) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_check_status(file, line, "the answer", status, ckit_batch_overdue(batch, i, false, &value, NULL));
    ckit_check_u(file, line, "its number", (uint64_t)argument * 10, read_number(&value));
    ckit_check_u(file, line, "stale", stale, value.stale);
    ckit_value_fini(&value);
}
#define CHECK_INSTEAD(status, stale, batch, i, argument)                                                               \
    check_instead(__FILE__, __LINE__, (batch), (i), (status), (stale), (argument))

static void check_nothing_instead(ckit_batch *batch, size_t i) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_MISS, ckit_batch_overdue(batch, i, false, &value, NULL));
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, ckit_batch_overdue(batch, i, true, &value, &err));
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, err.status);
}

static void load_now(loop *lp, int64_t argument) {
    pending_batch p;
    batch_init(&p);
    (void)begin_batch(lp, &p, &argument, 1);
    run_batch(lp, &p);
    ckit_batch_free(p.batch);
}

CKIT_TEST(batch, tells_what_each_call_may_have_when_it_is_overdue) {
    static const int64_t arguments[] = {1, 2, 1, 3};
    loop                 lp;
    pending_batch        p;
    ckit_value           value = CKIT_VALUE_INIT;
    loop_open(&lp, FAKE_LOCKING_MANY);
    ckit_function *before = lp.fn;
    lp.fn = limited(&lp);
    load_now(&lp, 1);
    fake_clock_advance(&lp.f.time, 12000);
    load_now(&lp, 3);
    batch_init(&p);
    p.holds = true;
    (void)begin_batch(&lp, &p, arguments, 4);
    while (p.answer != CKIT_COMPUTE) {
        (void)loop_turn(&lp);
    }
    CHECK_INSTEAD(CKIT_STALE, true, p.batch, 0, 1);
    CHECK_INSTEAD(CKIT_STALE, true, p.batch, 2, 1);
    CHECK_INSTEAD(CKIT_OK, false, p.batch, 3, 3);
    check_nothing_instead(p.batch, 1);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_batch_overdue(p.batch, 4, true, &value, NULL));
    finish_batch(&p);
    run_batch(&lp, &p);
    CHECK_INSTEAD(CKIT_OK, false, p.batch, 1, 2);
    for (size_t i = 0; i < 3; i++) {
        CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, i, arguments[i]);
    }
    ckit_batch_free(p.batch);
    CHECK_EQ_U(2, stats_of(lp.f.cache).soft_limits);
    CHECK_EQ_U(1, stats_of(lp.f.cache).hard_limits);
    ckit_function_close(lp.fn);
    lp.fn = before;
    loop_close(&lp);
}

static void *go_on_apart(void *context) {
    pending_batch *p = context;
    p->answer = ckit_batch_wait(p->batch);
    while (p->answer == CKIT_COMPUTE) {
        size_t           count;
        ckit_batch_call *calls = ckit_batch_missing(p->batch, &count);
        p->answer = ckit_finish_many(p->batch, load_many(&p->m, calls, count, &p->err), &p->err);
    }
    return NULL;
}

CKIT_TEST(batch, that_another_thread_goes_on_with_tells_what_is_there) {
    loop             lp;
    pending_batch    p;
    pthread_t        thread;
    ckit_args        args[2];
    ckit_args *const each[] = {&args[0], &args[1]};
    loop_open(&lp, FAKE_LOCKING_MANY);
    ckit_function *before = lp.fn;
    lp.fn = limited(&lp);
    load_now(&lp, 1);
    batch_init(&p);
    for (int i = 0; i < 2; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], i + 1);
    }
    ckit_batch_start start = {.struct_size = sizeof start, .function = lp.fn, .args = each, .count = 1, .apart = true};
    CHECK_OK(ckit_begin_many(&start, &p.batch, NULL)); /* memory has it */
    ckit_batch_free(p.batch);
    loader_shut(&p.m.gate);
    start.count = 2;
    CHECK_STATUS(CKIT_PENDING, ckit_begin_many(&start, &p.batch, NULL));
    CHECK_EQ_I(0, pthread_create(&thread, NULL, go_on_apart, &p));
    loader_wait_stopped(&p.m.gate, 1);
    CHECK_INSTEAD(CKIT_OK, false, p.batch, 0, 1);
    check_nothing_instead(p.batch, 1);
    loader_open(&p.m.gate);
    CHECK_EQ_I(0, pthread_join(thread, NULL));
    CHECK_OK(p.answer);
    CHECK_TAKEN(CKIT_SOURCE_MEMORY, &p, 0, 1);
    CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, 1, 2);
    ckit_batch_free(p.batch);
    for (int i = 0; i < 2; i++) {
        ckit_args_fini(&args[i]);
    }
    ckit_function_close(lp.fn);
    lp.fn = before;
    loop_close(&lp);
}

/* Where a batch is when it is given up. */
typedef enum when { WHEN_ASKING, WHEN_COMPUTING, WHEN_STORING, WHEN_READY, WHEN_FOLLOWING, WHEN_END } when;

static void bring_to(loop *lp, pending_batch *p, when w, threaded_call *other) {
    static const int64_t arguments[] = {1, 2, 3};
    p->holds = true;
    if (w == WHEN_ASKING) {
        fake_shut(lp->f.store, FAKE_GET_MANY, FAKE_BEFORE);
    }
    if (w == WHEN_FOLLOWING) {
        loader_shut(&lp->l);
        for (int i = 0; i < 3; i++) {
            call_start(&other[i], lp->fn, i + 1);
        }
        loader_wait_stopped(&lp->l, 3);
    }
    (void)begin_batch(lp, p, arguments, 3);
    if (w == WHEN_ASKING) {
        fake_wait_stopped(lp->f.store, FAKE_GET_MANY, 1);
    } else if (w == WHEN_READY) {
        fake_wait_calls(lp->f.store, FAKE_GET_MANY, 1);
    } else if (w != WHEN_FOLLOWING) {
        (void)loop_turn(lp);
        CHECK_STATUS(CKIT_COMPUTE, p->answer);
    }
    if (w == WHEN_STORING) {
        fake_shut(lp->f.store, FAKE_SET_MANY_IF_OWNER, FAKE_BEFORE);
        finish_batch(p);
        fake_wait_stopped(lp->f.store, FAKE_SET_MANY_IF_OWNER, 1);
    }
}

CKIT_TEST(batch, can_be_given_up_at_any_stage) {
    for (when w = WHEN_ASKING; w < WHEN_END; w++) {
        loop          lp;
        pending_batch p;
        threaded_call other[3] = {{0}};
        loop_open(&lp, FAKE_LOCKING_MANY);
        batch_init(&p);
        bring_to(&lp, &p, w, other);
        ckit_batch_free(p.batch);
        fake_open_gate(lp.f.store, FAKE_GET_MANY);
        fake_open_gate(lp.f.store, FAKE_SET_MANY_IF_OWNER);
        loader_open(&lp.l);
        for (int i = 0; w == WHEN_FOLLOWING && i < 3; i++) {
            CHECK_OK(call_join(&other[i]).status);
        }
        CHECK_OK(call(lp.fn, 2).status); /* nothing holds it up */
        ckit_poll_close(lp.poll);        /* waits for what goes on */
        lp.poll = NULL;
        CHECK(!fake_is_locked(lp.f.store));
        CHECK_EQ_U(0, p.done);
        loop_close(&lp);
    }
}

CKIT_TEST(batch, that_is_given_up_after_its_results_were_taken_stores_them) {
    static const int64_t arguments[] = {1, 2};
    loop                 lp;
    pending_batch        p;
    pending              single = {.number = 7};
    fixture_prepare(&lp.f);
    lp.f.options.workers = 1;
    loop_start(&lp, true, FAKE_LOCKING_MANY);
    batch_init(&p);
    p.holds = true;
    (void)begin_batch(&lp, &p, arguments, 2);
    (void)loop_turn(&lp);
    fake_shut(lp.f.store, FAKE_GET, FAKE_BEFORE);
    (void)begin_call(&lp, &single, 11);
    fake_wait_stopped(lp.f.store, FAKE_GET, 1); /* the only worker's: the results wait in the queue */
    finish_batch(&p);
    ckit_batch_free(p.batch);
    fake_open_gate(lp.f.store, FAKE_GET);
    run(&lp, &single);
    ckit_value_fini(&single.value);
    ckit_poll_close(lp.poll);
    lp.poll = NULL;
    CHECK_CALL(CKIT_SOURCE_MEMORY, 20, lp.fn, 2);
    CHECK_EQ_U(3, fake_count(lp.f.store));
    loop_close(&lp);
}

CKIT_TEST(batch, that_is_given_up_hands_its_computations_over) {
    static const int64_t arguments[] = {1, 2};
    loop                 lp;
    pending_batch        p;
    threaded_call        single = {0};
    loop_open(&lp, FAKE_FULL);
    batch_init(&p);
    p.holds = true;
    (void)begin_batch(&lp, &p, arguments, 2);
    (void)loop_turn(&lp);
    call_start(&single, lp.fn, 2);
    wait_flight_waits(lp.f.cache, 1);
    ckit_batch_free(p.batch);
    answer a = call_join(&single);
    CHECK_OK(a.status);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, a.source);
    loop_close(&lp);
}

CKIT_TEST(batch, whose_queue_is_full_computes_without_the_store) {
    static const int64_t arguments[] = {1, 2};
    loop                 lp;
    pending_batch        p;
    pending              single[2] = {{.number = 7}, {.number = 7}};
    fixture_prepare(&lp.f);
    lp.f.options.workers = 1;
    lp.f.options.queue_max = 1;
    loop_start(&lp, true, FAKE_FULL);
    batch_init(&p);
    fake_shut(lp.f.store, FAKE_GET, FAKE_BEFORE);
    (void)begin_call(&lp, &single[0], 11);
    fake_wait_stopped(lp.f.store, FAKE_GET, 1); /* the worker's */
    (void)begin_call(&lp, &single[1], 12);      /* in the queue */
    CHECK_STATUS(CKIT_PENDING, begin_batch(&lp, &p, arguments, 2));
    run_batch(&lp, &p);
    for (size_t i = 0; i < 2; i++) {
        CHECK_TAKEN(CKIT_SOURCE_FUNCTION, &p, i, arguments[i]);
    }
    ckit_batch_free(p.batch);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 10, lp.fn, 1);
    CHECK_EQ_U(0, fake_count(lp.f.store));
    fake_open_gate(lp.f.store, FAKE_GET);
    run(&lp, &single[0]);
    run(&lp, &single[1]);
    ckit_value_fini(&single[0].value);
    ckit_value_fini(&single[1].value);
    loop_close(&lp);
}

CKIT_TEST(batch, of_an_event_loop_can_also_block) {
    loop        lp;
    many_loader m = {0};
    ckit_args   arg;
    ckit_args  *args[] = {NULL, &arg};
    ckit_batch *batch;
    ckit_value  value = CKIT_VALUE_INIT;
    size_t      count;
    loop_open(&lp, FAKE_FULL);
    loader_init(&m.gate);
    ckit_args_init(&arg);
    ckit_args_int(&arg, 4);
    ckit_batch_start start = {.struct_size = sizeof start, .function = lp.fn, .args = args + 1, .count = 1};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin_many(&start, &batch, NULL));
    ckit_args_fini(&arg); /* the batch has its own */
    ckit_batch_call *calls = ckit_batch_missing(batch, &count);
    CHECK_EQ_U(1, count);
    CHECK_OK(load_many(&m, calls, count, NULL));
    CHECK_OK(ckit_finish_many(batch, CKIT_OK, NULL));
    CHECK_OK(ckit_batch_take(batch, 0, &value, NULL));
    CHECK_EQ_U(40, read_number(&value));
    ckit_value_fini(&value);
    ckit_batch_free(batch);
    loop_close(&lp);
}
