/* One call from beginning to end: which tier answers, for how long, and what happens when the store is in trouble. Of
 * op.c, op_memory.c and op_store.c. */
#include "cache/cache_fixture.h"
#include "cache/core.h"

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(call, the_first_call_computes_and_the_second_comes_from_memory) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    CHECK_EQ_U(1, s.l.runs);
    CHECK_STR("get MISS, set OK", fake_log(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 8);
    stage_close(&s);
}

CKIT_TEST(call, another_cache_over_the_same_store_hits_the_store_then_its_own_memory) {
    fixture f;
    loader  l, never;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    loader_init(&never);
    ckit_cache    *other = fixture_cache(&f, FAKE_FULL);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    ckit_function *same = function_of(other, "test.load", &never, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, same, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, same, 7);
    CHECK_EQ_U(0, never.runs);
    ckit_function_close(fn);
    ckit_function_close(same);
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(call, defect_13_memory_keeps_a_value_from_the_store_for_its_remaining_life) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    stage_open(&s, FAKE_FULL, &options);
    stage_join(&s, FAKE_FULL, &options);
    CHECK_EQ_U(10000, call(s.fn, 7).life_ms);
    fake_clock_advance(&s.f.time, 4000);
    answer a = call(s.there, 7);
    CHECK_EQ_U(CKIT_SOURCE_STORE, a.source);
    CHECK_EQ_U(6000, a.life_ms);
    fake_clock_set_wall(&s.f.time, 0); /* somebody sets the clock on the wall: lives do not notice */
    fake_clock_advance(&s.f.time, 5999);
    a = call(s.there, 7);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, a.source);
    CHECK_EQ_U(1, a.life_ms);
    fake_clock_advance(&s.f.time, 1);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call(s.there, 7).source);
    stage_close(&s);
}

CKIT_TEST(call, memory_keeps_a_value_of_unknown_life_for_thirty_seconds) {
    stage s;
    stage_open_two(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_hide_lives(s.f.store, true);
    answer a = call(s.there, 7);
    CHECK_EQ_U(CKIT_SOURCE_STORE, a.source);
    CHECK_EQ_U(CKIT_LIFE_UNKNOWN, a.life_ms);
    fake_clock_advance(&s.f.time, 29999);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(s.there, 7).source);
    fake_clock_advance(&s.f.time, 1);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call(s.there, 7).source);
    stage_close(&s);
}

CKIT_TEST(call, memory_keeps_a_value_of_unknown_life_no_longer_than_the_function_lets_its_values_live) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 2000;
    stage_open(&s, FAKE_FULL, &options);
    stage_join(&s, FAKE_FULL, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_hide_lives(s.f.store, true);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call(s.there, 7).source);
    fake_clock_advance(&s.f.time, 1999);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(s.there, 7).source);
    fake_clock_advance(&s.f.time, 1);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call(s.there, 7).source);
    stage_close(&s);
}

CKIT_TEST(call, defect_13_memory_keeps_a_value_as_long_as_a_store_says_that_has_to_be_asked) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 2000;
    stage_open(&s, FAKE_FULL, &options);
    stage_join(&s, FAKE_FULL, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_hide_lives_of_values(s.f.store, true);
    fake_clock_advance(&s.f.time, 1500);
    answer a = call(s.there, 7);
    CHECK_EQ_U(CKIT_SOURCE_STORE, a.source);
    CHECK_EQ_U(500, a.life_ms);
    fake_clock_advance(&s.f.time, 499);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, call(s.there, 7).source);
    fake_clock_advance(&s.f.time, 1);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call(s.there, 7).source);
    stage_close(&s);
}

CKIT_TEST(call, a_store_is_not_asked_for_lives_that_nobody_needs) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.l1 = CKIT_OFF;
    stage_open(&s, FAKE_FULL, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_hide_lives_of_values(s.f.store, true);
    CHECK_EQ_U(CKIT_LIFE_UNKNOWN, call(s.fn, 7).life_ms);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_TTL));
    stage_close(&s);
}

CKIT_TEST(call, the_store_keeps_a_call_under_the_key_that_ckit_function_key_tells) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "users";
    ckit_function *fn = function_of(f.cache, "test.<locals>.load", &l, &options);
    ckit_buf       key = key_of(fn, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_BYTES(ckit_buf_slice(&key), fake_only_key(f.store));
    CHECK_STR("users", fake_last_namespace(f.store));
    CHECK_STR("test._locals_.load", fake_last_function(f.store));
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    fixture_close(&f);
}

static ckit_status write_nil(void *context, ckit_load *load, ckit_error *err) {
    (void)err;
    ++*(int *)context;
    ckit_write_nil(load->result);
    return CKIT_OK;
}

CKIT_TEST(call, nil_is_a_result_like_any_other) {
    fixture        f;
    int            runs = 0;
    ckit_function *fn;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(ckit_function_new(f.cache, "test.nil", write_nil, &runs, NULL, &fn, NULL));
    for (int i = 0; i < 3; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        CHECK_OK(ckit_call(fn, NULL, &value, NULL));
        CHECK_BYTES(S("\xc0"), value.data);
        ckit_value_fini(&value);
    }
    CHECK_EQ_I(1, runs);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(call, a_call_without_arguments_may_say_null) {
    stage      s;
    ckit_args  none;
    ckit_value value = CKIT_VALUE_INIT;
    stage_open(&s, FAKE_FULL, NULL);
    ckit_args_init(&none);
    CHECK_OK(ckit_call(s.fn, NULL, &value, NULL));
    ckit_value_fini(&value);
    CHECK_OK(ckit_call(s.fn, &none, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    ckit_value_fini(&value);
    stage_close(&s);
}

CKIT_TEST(call, small_and_large_values_stay_readable_after_the_cache_is_closed) {
    static const size_t sizes[] = {8, 100, 126, 127, 129, 4096, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        stage      s;
        ckit_value computed = CKIT_VALUE_INIT, kept = CKIT_VALUE_INIT;
        stage_open(&s, FAKE_FULL, NULL);
        s.l.size = sizes[i];
        s.l.result = 0x4242424242424242;
        CHECK_OK(ckit_call(s.fn, NULL, &computed, NULL));
        CHECK_OK(ckit_call(s.fn, NULL, &kept, NULL));
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, kept.source);
        stage_close(&s);
        CHECK_EQ_U(0x4242424242424242, read_number(&computed));
        CHECK_EQ_U(0x4242424242424242, read_number(&kept));
        ckit_value_fini(&computed);
        ckit_value_fini(&kept);
    }
}

/* ---- errors of the function -------------------------------------------------------------------------------------- */

CKIT_TEST(call, an_error_of_the_function_is_passed_on_and_never_cached) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    loader_fail(&s.l, CKIT_E_FUNCTION, 2);
    for (unsigned run = 1; run <= 2; run++) {
        answer a = call(s.fn, 7);
        CHECK_STATUS(CKIT_E_FUNCTION, a.status);
        CHECK_STATUS(CKIT_E_FUNCTION, a.error.status);
        CHECK_STR("loader", a.error.where);
        CHECK_EQ_U(run, s.l.runs);
    }
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(2, stats_of(s.f.cache).function_errors);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_errors);
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

CKIT_TEST(call, defect_10_a_function_that_answers_like_a_failing_store_runs_once) {
    static const ckit_status answers[] = {CKIT_MISS,          CKIT_STALE,     CKIT_COMPUTE,        CKIT_PENDING,
                                          CKIT_E_UNREACHABLE, CKIT_E_TIMEOUT, CKIT_E_LOCK_TIMEOUT, CKIT_E_IO,
                                          CKIT_E_CHECKSUM,    CKIT_E_BUSY,    CKIT_E_CIRCUIT_OPEN, CKIT_E_TOO_LARGE,
                                          CKIT_E_NO_MEMORY,   CKIT_E_DECODE,  CKIT_E_KEY_ARGUMENT, CKIT_E_CANCELLED};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        stage s;
        stage_open(&s, FAKE_LOCKING, NULL);
        loader_fail(&s.l, answers[i], 1);
        answer a = call(s.fn, 7);
        /* What is an answer and no failure is the loader's mistake. */
        ckit_status expected = answers[i] < CKIT_E_FIRST ? CKIT_E_MISUSE : answers[i];
        CHECK_STATUS(expected, a.status);
        CHECK_STATUS(expected, a.error.status);
        CHECK_EQ_U(1, s.l.runs);
        CHECK_EQ_U(0, stats_of(s.f.cache).l2_errors);
        CHECK_EQ_U(0, fake_count(s.f.store));
        stage_close(&s);
    }
}

static ckit_status say_nothing(void *context, ckit_load *load, ckit_error *err) {
    (void)context;
    (void)load;
    (void)err;
    return CKIT_E_FUNCTION;
}

CKIT_TEST(call, a_failure_without_a_story_gets_one) {
    fixture        f;
    ckit_function *fn;
    ckit_value     value = CKIT_VALUE_INIT;
    ckit_error     err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    CHECK_OK(ckit_function_new(f.cache, "test.silent", say_nothing, NULL, NULL, &fn, NULL));
    CHECK_STATUS_ERR(CKIT_E_FUNCTION, ckit_call(fn, NULL, &value, &err), &err);
    CHECK_STATUS(CKIT_E_FUNCTION, ckit_call(fn, NULL, &value, NULL));
    ckit_function_close(fn);
    fixture_close(&f);
}

static ckit_status write_two(void *context, ckit_load *load, ckit_error *err) {
    (void)context;
    (void)err;
    ckit_write_nil(load->result);
    ckit_write_nil(load->result);
    return CKIT_OK;
}

CKIT_TEST(call, a_function_that_writes_no_value_or_two_is_misuse) {
    fixture    f;
    loader     l;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    l.silent = true;
    ckit_function *none = function_of(f.cache, "test.none", &l, NULL), *two;
    CHECK_OK(ckit_function_new(f.cache, "test.two", write_two, NULL, NULL, &two, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, call(none, 7).status);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_call(two, NULL, &value, &err), &err);
    CHECK_EQ_U(0, fake_count(f.store));
    ckit_function_close(none);
    ckit_function_close(two);
    fixture_close(&f);
}

CKIT_TEST(call, a_function_without_a_loader_is_refused_by_ckit_call) {
    fixture    f;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    ckit_function *fn = function_of(f.cache, "test.load", NULL, NULL);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_call(fn, NULL, &value, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_refresh(fn, NULL, &value, &err), &err);
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- arguments that cannot be a key ------------------------------------------------------------------------------ */

CKIT_TEST(call, an_argument_that_cannot_be_part_of_a_key_makes_the_call_uncached) {
    stage      s;
    ckit_error err = CKIT_ERROR_INIT;
    stage_open(&s, FAKE_FULL, NULL);
    for (int i = 0; i < 2; i++) {
        ckit_args  args;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_args_init(&args);
        ckit_args_str(&args, S("\xff"));
        CHECK_OK_ERR(ckit_call(s.fn, &args, &value, &err), &err);
        CHECK_EQ_U(1, read_number(&value));
        CHECK_STATUS(CKIT_OK, err.status);
        ckit_value_fini(&value);
        CHECK_OK(ckit_refresh(s.fn, &args, NULL, &err));
        CHECK_STATUS(CKIT_E_KEY_ARGUMENT, ckit_invalidate(s.fn, &args, &err));
        err = (ckit_error)CKIT_ERROR_INIT;
        ckit_args_fini(&args);
    }
    CHECK_EQ_U(4, s.l.runs);
    CHECK_EQ_U(4, stats_of(s.f.cache).uncached);
    CHECK_EQ_U(4, s.f.log.lines);
    CHECK_STR("", fake_log(s.f.store));
    stage_close(&s);
}

/* ---- trouble with the store -------------------------------------------------------------------------------------- */

CKIT_TEST(call, the_function_runs_when_the_store_cannot_be_read) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_UNREACHABLE, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_misses);
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    stage_close(&s);
}

CKIT_TEST(call, defect_14_memory_serves_a_result_that_the_store_did_not_take_and_the_failure_is_counted) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    fake_fail(s.f.store, FAKE_SET, CKIT_E_NO_SPACE, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    ckit_cache_stats stats = stats_of(s.f.cache);
    CHECK_EQ_U(1, stats.l2_errors);
    CHECK_EQ_U(0, stats.l2_writes);
    CHECK_EQ_U(1, stats.computed);
    CHECK_EQ_U(0, fake_count(s.f.store));
    stage_close(&s);
}

CKIT_TEST(call, a_store_that_is_down_altogether_costs_nothing_but_the_store) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    for (int op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(s.f.store, (fake_op)op, CKIT_E_UNREACHABLE, UINT64_MAX);
    }
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    s.l.result = 2;
    CHECK_EQ_U(2, refresh(s.fn, 7).number);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    CHECK_STATUS(CKIT_E_UNREACHABLE, invalidate(s.fn, 7)); /* memory has forgotten it all the same */
    s.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, s.fn, 7);
    ckit_health health;
    ckit_cache_health(s.f.cache, &health);
    CHECK(!health.healthy);
    stage_close(&s);
}

CKIT_TEST(call, defect_8_memory_is_asked_before_the_store) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_CIRCUIT_OPEN, UINT64_MAX);
    fake_forget_calls(s.f.store);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    CHECK_STR("", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(call, every_wait_for_the_store_has_the_configured_deadline) {
    stage s;
    stage_prepare(&s);
    s.f.options.store_timeout_ms = 123;
    stage_start(&s, FAKE_LOCKING, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    (void)invalidate(s.fn, 7);
    uint64_t deadline = FAKE_CLOCK_START_MS + 123;
    CHECK_EQ_U(deadline, fake_last_deadline(s.f.store, FAKE_GET));
    CHECK_EQ_U(deadline, fake_last_deadline(s.f.store, FAKE_SET));
    CHECK_EQ_U(deadline, fake_last_deadline(s.f.store, FAKE_REMOVE));
    CHECK_EQ_U(deadline, fake_last_deadline(s.f.store, FAKE_LOCK_TRY));
    CHECK_EQ_U(deadline, fake_last_deadline(s.f.store, FAKE_LOCK_RELEASE));
    stage_close(&s);
}

CKIT_TEST(call, a_store_that_may_be_absent_gets_one_warning_for_good) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    s.f.cache->options.store_optional = CKIT_ON;
    s.f.cache->log_copy.level = CKIT_LOG_WARNING;
    for (uint64_t i = 0; i < 5; i++) {
        fake_fail(s.f.store, FAKE_GET, CKIT_E_UNREACHABLE, 1);
        s.l.result = i;
        CHECK_CALL(CKIT_SOURCE_FUNCTION, i, s.fn, (int64_t)i);
        fake_clock_advance(&s.f.time, 10000);
    }
    CHECK_EQ_U(1, s.f.log.lines);
    CHECK_CONTAINS("no store is configured, and fake on this machine does not serve", s.f.log.text);
    stage_close(&s);
}

CKIT_TEST(call, defect_32_the_log_tells_of_the_store_without_key_or_value) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    l.result = 987654321;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "secret-namespace";
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    fake_fail(f.store, FAKE_GET, CKIT_E_UNREACHABLE, 1);
    fake_fail(f.store, FAKE_SET, CKIT_E_TIMEOUT, 1);
    fake_fail(f.store, FAKE_REMOVE, CKIT_E_IO, UINT64_MAX); /* the removal that makes up for the failed set fails too */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 987654321, fn, 7);
    CHECK_EQ_U(1, f.log.lines); /* the second failure comes within a second of the first */
    CHECK_CONTAINS("fake: get of key #", f.log.text);
    CHECK(strstr(f.log.text, "unsaid") == NULL); /* nothing was */
    fake_clock_advance(&f.time, 1000);
    (void)invalidate(fn, 7);
    CHECK_EQ_U(2, f.log.lines);
    CHECK_CONTAINS("fake: remove of key #", f.log.text);
    CHECK_CONTAINS("(1 failure before it unsaid)", f.log.text);
    CHECK_EQ_U(4, stats_of(f.cache).l2_errors); /* get, set, and the removals of the entry and its stale copy */
    CHECK_CONTAINS(ckit_status_code(CKIT_E_UNREACHABLE), f.log.text);
    CHECK(strstr(f.log.text, "987654321") == NULL);
    CHECK(strstr(f.log.text, "secret-namespace") == NULL);
    CHECK(strstr(f.log.text, "args:") == NULL);
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- values that cannot be read ---------------------------------------------------------------------------------- */

CKIT_TEST(call, a_damaged_value_is_deleted_and_computed_again) {
    stage s;
    stage_open_two(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_damage(s.f.store, -12); /* in the checksum */
    fake_forget_calls(s.f.store);
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 7);
    CHECK_STR("get OK, remove OK, set OK", fake_log(s.f.store));
    ckit_cache_stats stats = stats_of(s.other);
    CHECK_EQ_U(1, stats.l2_corrupt);
    CHECK_EQ_U(0, stats.l2_hits);
    CHECK_EQ_U(1, stats.l2_misses);
    CHECK_EQ_U(0, stats.l2_errors);
    stage_close(&s);
}

CKIT_TEST(call, a_value_that_is_not_ours_is_kept_until_the_result_replaces_it) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    ckit_buf key = key_of(s.fn, 7);
    fake_put(s.f.store, ckit_buf_slice(&key), S("somebody else's"), CKIT_LIFE_NO_EXPIRY);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    CHECK_TEXT("somebody else's", fake_only_value(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_REMOVE));
    CHECK_EQ_U(2, stats_of(s.f.cache).l2_corrupt);
    CHECK(fake_only_value(s.f.store).len > 20);
    ckit_buf_fini(&key);
    stage_close(&s);
}

/* ---- values that are too large ----------------------------------------------------------------------------------- */

CKIT_TEST(call, defect_38_a_result_over_the_limit_is_returned_kept_nowhere_and_no_failure_of_the_store) {
    stage s;
    stage_prepare(&s);
    s.f.options.max_value_bytes = 1000;
    s.f.options.compression_level = -1;
    stage_start(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.l.size = 2000;
    s.l.result = 2;
    answer a = refresh(s.fn, 7); /* the older, smaller value goes too */
    CHECK_OK(a.status);
    CHECK_EQ_U(2, a.number);
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(2, stats_of(s.f.cache).too_large);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_errors);
    stage_close(&s);
}

CKIT_TEST(call, a_result_over_the_limit_leaves_nothing_older_in_a_cache_without_a_store) {
    stage s;
    stage_prepare(&s);
    s.f.options.max_value_bytes = 1000;
    stage_start_memory(&s, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.l.size = 2000;
    s.l.result = 2;
    CHECK_EQ_U(2, refresh(s.fn, 7).number);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    stage_close(&s);
}
