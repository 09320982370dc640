/* How fresh answers are: what stands in for failures, limits of time, lifetimes that are drawn. Of limits.c. */
#include "cache/poll_fixture.h"

typedef struct scene {
    fixture               f;
    loader                l;
    ckit_function_options options;
    ckit_function        *fn;
} scene;

/* Lives of 10 s. Options may be changed before scene_start. */
static void scene_prepare(scene *s) {
    fixture_prepare(&s->f);
    loader_init(&s->l);
    s->options = (ckit_function_options)CKIT_FUNCTION_OPTIONS_INIT;
    s->options.ttl_ms = 10000;
}

static void scene_start(scene *s, bool store) {
    if (store) {
        fixture_start(&s->f, FAKE_LOCKING);
    } else {
        fixture_start_memory(&s->f);
    }
    s->fn = function_of(s->f.cache, "test.load", &s->l, &s->options);
}

static void scene_open(scene *s, bool store) {
    scene_prepare(s);
    s->options.fail_safe_ms = 5000;
    scene_start(s, store);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 7);
    s->l.result = 2;
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

static void check_stands_in(scene *s, ckit_function *fn, uint64_t number) {
    answer a = call(fn, 7);
    CHECK_OK_ERR(a.status, &a.error);
    CHECK(a.stale);
    CHECK_EQ_U(0, a.life_ms);
    CHECK_EQ_U(number, a.number);
    CHECK_STATUS(CKIT_OK, a.error.status);
    (void)s;
}

/* ---- fail-safe --------------------------------------------------------------------------------------------------- */

CKIT_TEST(freshness, an_older_value_stands_in_for_a_function_that_fails) {
    for (int store = 0; store < 2; store++) {
        scene s;
        scene_open(&s, store);
        fake_clock_advance(&s.f.time, 12000);
        loader_fail(&s.l, CKIT_E_FUNCTION, 2);
        check_stands_in(&s, s.fn, 1);
        check_stands_in(&s, s.fn, 1); /* each call tries */
        CHECK_EQ_U(3, s.l.runs);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
        CHECK_EQ_U(2, stats_of(s.f.cache).fail_safe_served);
        CHECK_EQ_U(2, stats_of(s.f.cache).function_errors);
        CHECK_CONTAINS("an older value stands in for its result", s.f.log.text);
        scene_close(&s);
    }
}

CKIT_TEST(freshness, nothing_late_is_served_while_the_function_works) {
    scene s;
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 10000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(0, stats_of(s.f.cache).l1_stale_hits + stats_of(s.f.cache).l2_stale_hits);
    scene_close(&s);
}

CKIT_TEST(freshness, after_its_allowance_the_failure_is_the_caller_s) {
    scene s;
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 15000);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 8).status);
    scene_close(&s);
}

CKIT_TEST(freshness, a_refresh_that_was_asked_for_tells_its_failure) {
    scene s;
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 12000);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    CHECK_STATUS(CKIT_E_FUNCTION, refresh(s.fn, 7).status);
    scene_close(&s);
}

CKIT_TEST(freshness, what_another_process_stored_stands_in_too) {
    scene s;
    scene_open(&s, true);
    ckit_cache    *other = fixture_cache(&s.f, FAKE_LOCKING);
    ckit_function *there = function_of(other, "test.load", &s.l, &s.options);
    fake_clock_advance(&s.f.time, 12000);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    check_stands_in(&s, there, 1);
    check_stands_in(&s, there, 1);
    ckit_function_close(there);
    s.options.l1 = CKIT_OFF;
    there = function_of(other, "test.load", &s.l, &s.options);
    check_stands_in(&s, there, 1);
    ckit_function_close(there);
    ckit_cache_close(other);
    scene_close(&s);
}

CKIT_TEST(freshness, first_served_while_it_is_refreshed_then_only_for_failures) {
    scene s;
    scene_prepare(&s);
    s.options.stale_ms = 2000;
    s.options.fail_safe_ms = 5000;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_clock_advance(&s.f.time, 11999);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    CHECK(call(s.fn, 7).stale);
    CHECK_EQ_U(0, stats_of(s.f.cache).fail_safe_served);
    ckit_function_close(s.fn); /* waits for the refresh */
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    fake_clock_advance(&s.f.time, 1);
    check_stands_in(&s, s.fn, 1);
    CHECK_EQ_U(1, stats_of(s.f.cache).fail_safe_served);
    fake_clock_advance(&s.f.time, 2999);
    check_stands_in(&s, s.fn, 1);
    fake_clock_advance(&s.f.time, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    scene_close(&s);
}

CKIT_TEST(freshness, calls_that_waited_get_what_stands_in_and_run_nothing) {
    scene         s;
    threaded_call leader = {0}, follower = {0};
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 12000);
    loader_shut(&s.l);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    call_start(&leader, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    call_start(&follower, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    loader_open(&s.l);
    answer a = call_join(&leader), b = call_join(&follower);
    CHECK(a.stale && b.stale);
    CHECK_EQ_U(1, b.number);
    CHECK_EQ_U(2, s.l.runs);
    scene_close(&s);
}

CKIT_TEST(freshness, nothing_stands_in_for_a_call_that_was_invalidated) {
    scene         s;
    threaded_call caller = {0};
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 12000);
    loader_shut(&s.l);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    call_start(&caller, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    CHECK(invalidate(s.fn, 7) < CKIT_E_FIRST);
    loader_open(&s.l);
    CHECK_STATUS(CKIT_E_FUNCTION, call_join(&caller).status);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    scene_close(&s);
}

CKIT_TEST(freshness, a_store_that_fails_is_answered_with_an_older_value_before_the_function_runs) {
    scene s;
    scene_open(&s, true);
    fake_clock_advance(&s.f.time, 12000);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_IO, UINT64_MAX);
    loader_shut(&s.l);
    check_stands_in(&s, s.fn, 1);
    loader_wait_stopped(&s.l, 1); /* in the background */
    loader_open(&s.l);
    ckit_function_close(s.fn);
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 8); /* where there is none, the function answers */
    scene_close(&s);
}

CKIT_TEST(freshness, an_event_loop_hands_a_failure_over_and_gets_what_stands_in) {
    loop                  lp;
    pending               p = {.number = 5}, q = {.failure = CKIT_E_FUNCTION};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    loop_open(&lp, FAKE_LOCKING);
    options.ttl_ms = 10000;
    options.fail_safe_ms = 5000;
    ckit_function *before = lp.fn;
    lp.fn = function_of(lp.f.cache, "test.safe", &lp.l, &options);
    run_call(&lp, &p, 7);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    fake_clock_advance(&lp.f.time, 12000);
    run_call(&lp, &q, 7);
    CHECK_STATUS(CKIT_STALE, q.answer);
    CHECK(q.value.stale);
    CHECK_EQ_U(5, read_number(&q.value));
    ckit_value_fini(&q.value);
    ckit_function_close(lp.fn);
    lp.fn = before;
    loop_close(&lp);
}

/* ---- fail closed ------------------------------------------------------------------------------------------------- */

CKIT_TEST(freshness, failing_closed_a_store_that_cannot_be_read_is_the_caller_s_error) {
    static const ckit_status failures[] = {CKIT_E_IO, CKIT_E_UNREACHABLE, CKIT_E_CIRCUIT_OPEN, CKIT_E_BUSY};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        scene s;
        scene_prepare(&s);
        s.options.fail_closed = true;
        scene_start(&s, true);
        fake_fail(s.f.store, FAKE_GET, failures[i], 1);
        answer a = call(s.fn, 7);
        CHECK_STATUS(failures[i], a.status);
        CHECK_STATUS(failures[i], a.error.status);
        CHECK_EQ_U(0, s.l.runs);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
        fake_fail(s.f.store, FAKE_LOCK_TRY, failures[i], 1);
        CHECK_STATUS(failures[i], call(s.fn, 8).status);
        scene_close(&s);
    }
}

CKIT_TEST(freshness, failing_closed_a_result_that_the_store_does_not_take_is_kept_nowhere) {
    scene s;
    scene_prepare(&s);
    s.options.fail_closed = true;
    scene_start(&s, true);
    fake_fail(s.f.store, FAKE_SET, CKIT_E_NO_SPACE, 1);
    answer a = call(s.fn, 7);
    CHECK_STATUS(CKIT_E_NO_SPACE, a.status);
    CHECK_STATUS(CKIT_E_NO_SPACE, a.error.status);
    CHECK(!fake_is_locked(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_IO, UINT64_MAX);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7); /* memory asks nobody */
    scene_close(&s);
}

CKIT_TEST(freshness, failing_closed_in_an_event_loop) {
    loop                  lp;
    pending               p = {.number = 5}, q = {.number = 6};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    loop_open(&lp, FAKE_LOCKING);
    options.fail_closed = true;
    ckit_function *before = lp.fn;
    lp.fn = function_of(lp.f.cache, "test.closed", &lp.l, &options);
    fake_fail(lp.f.store, FAKE_GET, CKIT_E_IO, 1);
    run_call(&lp, &p, 7);
    CHECK_STATUS(CKIT_E_IO, p.answer);
    fake_fail(lp.f.store, FAKE_SET, CKIT_E_IO, 1);
    run_call(&lp, &q, 8);
    CHECK_STATUS(CKIT_E_IO, q.answer);
    ckit_function_close(lp.fn);
    lp.fn = before;
    loop_close(&lp);
}

/* ---- lifetimes --------------------------------------------------------------------------------------------------- */

CKIT_TEST(freshness, lifetimes_are_drawn_when_they_are_stored_and_never_longer) {
    scene    s;
    uint64_t least = UINT64_MAX, most = 0;
    scene_prepare(&s);
    s.options.ttl_jitter = 0.2;
    scene_start(&s, true);
    for (int64_t i = 0; i < 200; i++) {
        uint64_t life_ms = call(s.fn, i).life_ms;
        CHECK_EQ_U(life_ms, fake_last_ttl(s.f.store));
        CHECK_EQ_U(life_ms, call(s.fn, i).life_ms); /* in memory */
        least = life_ms < least ? life_ms : least;
        most = life_ms > most ? life_ms : most;
    }
    CHECK_BETWEEN_U(8000, 8200, least);
    CHECK_BETWEEN_U(9800, 10000, most);
    scene_close(&s);
}

CKIT_TEST(freshness, a_nil_result_lives_as_long_as_was_said_for_it) {
    scene      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_prepare(&s);
    s.options.nil_ttl_ms = 500;
    scene_start(&s, true);
    ckit_result nil = {.struct_size = sizeof nil, .document = S("\xc0")},
                number = {.struct_size = sizeof number, .document = S("\x05")};
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK_OK(ckit_finish(op, &nil, &value, NULL));
    CHECK_EQ_U(500, value.life_ms);
    CHECK_EQ_U(500, fake_last_ttl(s.f.store));
    ckit_op_free(op);
    ckit_value_fini(&value);
    fake_clock_advance(&s.f.time, 500);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK_OK(ckit_finish(op, &number, &value, NULL));
    CHECK_EQ_U(10000, value.life_ms);
    ckit_op_free(op);
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(freshness, a_nil_result_that_is_found_late_in_its_life_is_not_renewed_to_that_of_others) {
    scene      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_prepare(&s);
    s.options.nil_ttl_ms = 500;
    s.options.renew_below = 0.5;
    s.options.l1 = CKIT_OFF;
    fixture_start(&s.f, FAKE_FULL);
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    ckit_result nil = {.struct_size = sizeof nil, .document = S("\xc0")};
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK_OK(ckit_finish(op, &nil, &value, NULL));
    ckit_op_free(op);
    ckit_value_fini(&value);
    fake_clock_advance(&s.f.time, 100);
    CHECK_OK(begin_op(s.fn, 7, &op, &value));
    CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
    CHECK_EQ_U(400, value.life_ms);
    ckit_value_fini(&value);
    fake_clock_advance(&s.f.time, 400);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    ckit_op_free(op);
    scene_close(&s);
}

CKIT_TEST(freshness, raw_bytes_are_renewed_while_they_have_longer_left_than_a_nil_lives) {
    scene      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_prepare(&s);
    s.options.raw = true;
    s.options.nil_ttl_ms = 500;
    s.options.renew_below = 0.9;
    s.options.l1 = CKIT_OFF;
    fixture_start(&s.f, FAKE_FULL);
    s.fn = function_of(s.f.cache, "test.load", NULL, &s.options);
    ckit_result whole = {.struct_size = sizeof whole, .document = S("null"), .ttl_ms = 8000},
                nil = {.struct_size = sizeof nil, .document = S("null"), .ttl_ms = 500};
    const struct {
        ckit_result *result;
        uint64_t     left_ms;
    } rows[] = {{&whole, 10000}, {&nil, 400}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, (int64_t)i, &op, &value));
        CHECK_OK(ckit_finish(op, rows[i].result, &value, NULL));
        ckit_op_free(op);
        ckit_value_fini(&value);
        fake_clock_advance(&s.f.time, 100);
        CHECK_OK(begin_op(s.fn, (int64_t)i, &op, &value));
        CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
        CHECK_EQ_U(rows[i].left_ms, value.life_ms);
        ckit_value_fini(&value);
    }
    scene_close(&s);
}

/* A run takes as long as the clock says. */
static ckit_status load_slowly(void *context, ckit_load *load, ckit_error *err) {
    scene *s = context;
    fake_clock_advance(&s->f.time, 200);
    return loader_run(&s->l, load, err);
}

CKIT_TEST(freshness, values_turn_stale_before_their_end_by_as_much_as_a_run_takes) {
    scene    s;
    uint64_t sum = 0, never = 0;
    scene_prepare(&s);
    s.options.early_beta = 1;
    fixture_start(&s.f, FAKE_FULL);
    CHECK_OK(ckit_function_new(s.f.cache, "test.slow", load_slowly, &s, &s.options, &s.fn, NULL));
    (void)call(s.fn, -1); /* measures */
    for (int64_t i = 0; i < 1600; i++) {
        CHECK_OK(call(s.fn, i).status);
        uint64_t fresh_ms = call(s.fn, i).life_ms;
        CHECK(fresh_ms <= 10000);
        sum += 10000 - fresh_ms;
        never += fresh_ms == 10000;
    }
    CHECK_BETWEEN_U(160, 240, sum / 1600); /* exponential with a mean of 200 ms: the mean of 1,600 strays by 5 */
    CHECK(never < 80);
    scene_close(&s);
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

static bool has_new_value(void *context) {
    answer a = call(context, 7);
    return a.source == CKIT_SOURCE_MEMORY && a.number == 2 && !a.stale;
}

CKIT_TEST(freshness, after_the_soft_limit_an_older_value_is_served_and_the_run_is_stored) {
    for (int store = 0; store < 2; store++) {
        scene s;
        scene_prepare(&s);
        s.options.fail_safe_ms = 5000;
        s.options.soft_limit_ms = 1;
        scene_start(&s, store);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7); /* none is there: it waits */
        fake_clock_advance(&s.f.time, 12000);
        s.l.result = 2;
        loader_shut(&s.l);
        check_stands_in(&s, s.fn, 1);
        check_stands_in(&s, s.fn, 1); /* waits for the run that is under way, as long */
        loader_wait_stopped(&s.l, 1); /* it may have been slower to begin than two waits */
        CHECK_EQ_U(2, s.l.runs);
        CHECK_EQ_U(2, stats_of(s.f.cache).soft_limits);
        loader_open(&s.l);
        wait_for(has_new_value, s.fn);
        CHECK_EQ_U(2, s.l.runs);
        scene_close(&s);
    }
}

CKIT_TEST(freshness, after_the_hard_limit_the_call_ends_and_the_run_is_stored) {
    scene s;
    scene_prepare(&s);
    s.options.hard_limit_ms = 1;
    scene_start(&s, true);
    loader_shut(&s.l);
    answer a = call(s.fn, 7);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, a.status);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, a.error.status);
    CHECK_CONTAINS("test.load took longer than its limit of 1 ms", a.error.text);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(s.fn, 7).status); /* one that waits for the run */
    loader_wait_stopped(&s.l, 1);
    CHECK_EQ_U(1, s.l.runs);
    CHECK_EQ_U(2, stats_of(s.f.cache).hard_limits);
    s.l.result = 2;
    loader_open(&s.l);
    ckit_function_close(s.fn); /* waits for the run */
    s.options.hard_limit_ms = 0;
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    CHECK(!fake_is_locked(s.f.store));
    scene_close(&s);
}

CKIT_TEST(freshness, limits_hold_while_another_process_runs_the_function) {
    scene s;
    scene_prepare(&s);
    s.options.fail_safe_ms = 5000;
    s.f.options.lock_wait_ms = 86400000;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7); /* without a limit: one so short may pass before a thread has begun */
    ckit_function_close(s.fn);
    s.options.soft_limit_ms = 1;
    s.options.hard_limit_ms = 2;
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    fake_clock_advance(&s.f.time, 12000);
    for (int64_t argument = 7; argument < 9; argument++) {
        ckit_buf key = key_of(s.fn, argument);
        fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
        ckit_buf_fini(&key);
    }
    check_stands_in(&s, s.fn, 1);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(s.fn, 8).status); /* there is nothing to give instead */
    CHECK_EQ_U(1, s.l.runs);
    CHECK_EQ_U(1, stats_of(s.f.cache).soft_limits);
    CHECK_EQ_U(1, stats_of(s.f.cache).hard_limits);
    scene_close(&s);
}

CKIT_TEST(freshness, limits_that_contradict_each_other_or_do_nothing_are_refused) {
    fixture               f;
    loader                l;
    ckit_function        *fn = NULL;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    options.soft_limit_ms = 10;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(f.cache, "test.load", loader_run, &l, &options, &fn, &err));
    CHECK_CONTAINS("without fail_safe_ms", err.text);
    options.fail_safe_ms = 1000;
    options.hard_limit_ms = 9;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(f.cache, "test.load", loader_run, &l, &options, &fn, &err));
    options.hard_limit_ms = 10;
    CHECK_OK(ckit_function_new(f.cache, "test.load", loader_run, &l, &options, &fn, &err));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(freshness, within_its_limits_a_run_is_as_any_other) {
    scene s;
    scene_prepare(&s);
    s.options.soft_limit_ms = 20000;
    s.options.hard_limit_ms = 30000;
    s.options.fail_safe_ms = 1000;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 8).status);
    fake_clock_advance(&s.f.time, 10500);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    check_stands_in(&s, s.fn, 1);
    CHECK_EQ_U(0, stats_of(s.f.cache).soft_limits + stats_of(s.f.cache).hard_limits);
    scene_close(&s);
}

CKIT_TEST(freshness, a_call_with_a_limit_that_cannot_be_named_runs_uncached_as_any_other) {
    scene s;
    scene_prepare(&s);
    s.options.hard_limit_ms = 30000;
    s.options.custom_key = true; /* which a number is not */
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(0, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(freshness, a_run_that_fails_when_its_caller_has_gone_hands_over) {
    scene s;
    scene_prepare(&s);
    s.options.hard_limit_ms = 1;
    scene_start(&s, true);
    loader_shut(&s.l);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, call(s.fn, 7).status);
    loader_open(&s.l);
    ckit_function_close(s.fn);
    CHECK_CONTAINS("failed after its caller had gone", s.f.log.text);
    s.options.hard_limit_ms = 30000;
    s.fn = function_of(s.f.cache, "test.load", &s.l, &s.options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    scene_close(&s);
}

CKIT_TEST(freshness, an_event_loop_says_when_a_call_is_overdue) {
    loop                  lp;
    pending               first = {.number = 5}, p = {.number = 6, .holds = true}, q = {0}, cold = {.holds = true};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_value            instead = CKIT_VALUE_INIT;
    loop_open(&lp, FAKE_LOCKING);
    options.ttl_ms = 10000;
    options.fail_safe_ms = 5000;
    options.hard_limit_ms = 40;
    ckit_function *before = lp.fn;
    lp.fn = function_of(lp.f.cache, "test.safe", &lp.l, &options);
    run_call(&lp, &first, 7);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &first);
    fake_clock_advance(&lp.f.time, 12000);
    (void)begin_call(&lp, &p, 7);
    while (p.readies == 0) {
        (void)loop_turn(&lp);
    }
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7)); /* waits for it */
    CHECK_STATUS(CKIT_STALE, ckit_op_overdue(p.op, false, &instead, NULL));
    CHECK(instead.stale);
    CHECK_EQ_U(5, read_number(&instead));
    ckit_value_fini(&instead);
    CHECK_STATUS(CKIT_STALE, ckit_op_overdue(q.op, true, &instead, NULL));
    CHECK_EQ_U(5, read_number(&instead));
    ckit_value_fini(&instead);
    (void)finish(&p, p.op);
    run(&lp, &p);
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &p);
    CHECK_PENDING(CKIT_SOURCE_FLIGHT, 6, &q);
    (void)begin_call(&lp, &cold, 8);
    while (cold.readies == 0) {
        (void)loop_turn(&lp);
    }
    CHECK_STATUS(CKIT_MISS, ckit_op_overdue(cold.op, false, &instead, NULL));
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, ckit_op_overdue(cold.op, true, &instead, &err));
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, err.status);
    ckit_op_free(cold.op);
    CHECK_EQ_U(1, stats_of(lp.f.cache).soft_limits);
    CHECK_EQ_U(2, stats_of(lp.f.cache).hard_limits);
    ckit_function_close(lp.fn);
    lp.fn = before;
    loop_close(&lp);
}
