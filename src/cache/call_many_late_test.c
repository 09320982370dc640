/* Many calls at once whose loader takes too long, or that get values past their lives. Of apart.c and
 * batch_limits.c. */
#include "cache/many_fixture.h"

static ckit_function *limited(scene *s, uint32_t soft_ms, uint32_t hard_ms, uint64_t fail_safe_ms) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.soft_limit_ms = soft_ms;
    options.hard_limit_ms = hard_ms;
    options.fail_safe_ms = fail_safe_ms;
    return function_of(s->f.cache, "test.limited", &s->l, &options);
}

CKIT_TEST(call_many_late, past_the_hard_limit_fails_for_what_is_missing_and_is_stored_all_the_same) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    ckit_function *fn = limited(&s, 0, 20, 0), *patient = limited(&s, 0, 0, 0); /* of one name: they share entries */
    many           early = {.fn = patient, .loader = &s.m, .count = 1, .arguments = {1}};
    run_many(&early);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &early);
    ckit_function_close(patient);
    loader_shut(&s.m.gate);
    many m = {.fn = fn, .loader = &s.m, .count = 4, .arguments = {1, 2, 1, 2}};
    run_many(&m);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.status);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.err.status);
    CHECK_ANSWER(CKIT_SOURCE_MEMORY, &m, 0);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.answers[1]);
    CHECK_ANSWER(CKIT_SOURCE_MEMORY, &m, 2);
    CHECK_STATUS(CKIT_E_FUNCTION_TIMEOUT, m.answers[3]);
    loader_open(&s.m.gate);
    ckit_function_close(fn); /* waits for it */
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_EQ_U(2, s.m.runs);
    CHECK(!fake_is_locked(s.f.store));
    scene_close(&s);
}

CKIT_TEST(call_many_late, past_the_soft_limit_gives_older_values_and_goes_on) {
    scene s;
    scene_open(&s, FAKE_FULL);
    ckit_function *fn = limited(&s, 20, 0, 5000);
    many           m = {.fn = fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 1}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    fake_clock_advance(&s.f.time, 2000);
    loader_shut(&s.m.gate);
    run_many(&m);
    CHECK_ALL_STALE(&m);
    CHECK_ANSWERS(CKIT_SOURCE_MEMORY, &m);
    loader_open(&s.m.gate);
    ckit_function_close(fn);
    CHECK_EQ_U(2, s.m.runs);
    CHECK_EQ_U(2, s.m.loaded[2]);
    scene_close(&s);
}

/* Neither limit is near: real time is all that passes. */
CKIT_TEST(call_many_late, waits_past_the_soft_limit_for_a_call_that_has_no_older_value) {
    scene s;
    scene_open(&s, FAKE_FULL);
    ckit_function *fn = limited(&s, 1, 0, 5000);
    many           m = {.fn = fn, .loader = &s.m, .count = 1, .arguments = {1}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    fake_clock_advance(&s.f.time, 2000);
    loader_shut(&s.m.gate);
    m = (many){.fn = fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    start_many(&m);
    loader_wait_stopped(&s.m.gate, 1);
    breathe();
    loader_open(&s.m.gate);
    join_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    ckit_function_close(fn);
    scene_close(&s);
}

static void call_one(void *context) {
    scene *s = context;
    s->m.during = NULL;
    many inner = {.fn = s->fn, .loader = &s->m, .count = 1, .arguments = {1}};
    run_many(&inner);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &inner);
}

CKIT_TEST(call_many_late, with_a_limit_does_not_wait_for_itself) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    ckit_function_close(s.fn);
    s.fn = limited(&s, 0, 20000, 0);
    s.m.during = call_one;
    s.m.context = &s;
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    scene_close(&s);
}

CKIT_TEST(call_many_late, served_instead_of_a_store_that_fails_is_refreshed_in_the_background) {
    scene s;
    scene_open(&s, FAKE_FULL);
    ckit_function *fn = limited(&s, 0, 0, 5000);
    many           m = {.fn = fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    fake_clock_advance(&s.f.time, 2000);
    fake_fail(s.f.store, FAKE_GET_MANY, CKIT_E_IO, 1);
    run_many(&m);
    CHECK_ALL_STALE(&m);
    CHECK_ANSWERS(CKIT_SOURCE_MEMORY, &m);
    wait_until(&s.l.ended, 2); /* the function's own loader, once for each */
    CHECK_EQ_U(1, s.m.runs);
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(call_many_late, in_the_store_stands_in_for_a_loader_that_fails) {
    scene                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_prepare(&s.f);
    s.f.options.l1 = CKIT_OFF;
    scene_start(&s, true, FAKE_LOCKING_MANY);
    options.ttl_ms = 1000;
    options.fail_safe_ms = 5000;
    ckit_function *fn = function_of(s.f.cache, "test.safe", &s.l, &options);
    many           m = {.fn = fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    fake_clock_advance(&s.f.time, 2000);
    s.m.refuses = 2;
    run_many(&m);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
    CHECK(m.out[1].stale);
    CHECK_ANSWER(CKIT_SOURCE_STORE, &m, 1);
    CHECK(!fake_is_locked(s.f.store));
    ckit_function_close(fn);
    scene_close(&s);
}
