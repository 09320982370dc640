/* Many calls at once: what they cost the store, and what goes wrong with some of them. Of batch.c, batch_load.c and
 * batch_store.c. */
#include "cache/batch.h"
#include "cache/many_fixture.h"

#include <stdlib.h>

/* ---- what it costs ----------------------------------------------------------------------------------------------- */

CKIT_TEST(call_many, costs_one_read_one_run_of_the_loader_and_one_write) {
    scene s;
    scene_open(&s, FAKE_FULL);
    many first = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&first);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &first);
    CHECK_STR("get_many OK, set_many OK", fake_log(s.f.store));

    ckit_cache    *other = fixture_cache(&s.f, FAKE_FULL);
    ckit_function *same = function_of(other, "test.load", &s.l, NULL);
    many           in_memory = {.fn = same, .loader = &s.m, .count = 1, .arguments = {2}};
    run_many(&in_memory);
    CHECK_ANSWERS(CKIT_SOURCE_STORE, &in_memory);
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
    static const fake_kind kinds[] = {FAKE_REQUIRED,     FAKE_FULL,     FAKE_LOCKING,
                                      FAKE_LOCKING_MANY, FAKE_UNFENCED, FAKE_SUBMITTING};
    for (size_t i = 0; i <= sizeof kinds / sizeof kinds[0]; i++) {
        scene s;
        fixture_prepare(&s.f);
        scene_start(&s, i > 0, kinds[i > 0 ? i - 1 : 0]);
        for (int again = 0; again < 2; again++) {
            many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
            run_many(&m);
            CHECK_ANSWERS(again ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m);
        }
        CHECK_EQ_U(1, s.m.runs);
        scene_close(&s);
    }
}

static ckit_status load_numbers(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    (void)err;
    *(size_t *)context += count;
    for (size_t i = 0; i < count; i++) {
        write_number(calls[i].result, calls[i].index, 0);
    }
    return CKIT_OK;
}

CKIT_TEST(call_many, takes_ten_thousand_calls) {
    enum { MANY = 10000 };
    scene        s;
    size_t       loaded = 0;
    ckit_args   *args = calloc(MANY, sizeof *args), **each = calloc(MANY, sizeof *each);
    ckit_value  *out = calloc(MANY, sizeof *out);
    ckit_status *answers = calloc(MANY, sizeof *answers);
    CHECK(args != NULL && each != NULL && out != NULL && answers != NULL);
    scene_open(&s, FAKE_FULL);
    for (size_t i = 0; i < MANY; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], (int64_t)i);
        each[i] = &args[i];
        ckit_value_init(&out[i]);
    }
    for (int round = 0; round < 2; round++) {
        CHECK_OK(ckit_call_many(s.fn, each, MANY, load_numbers, &loaded, out, answers, NULL));
        for (size_t i = 0; i < MANY; i++) {
            CHECK_OK(answers[i]);
            CHECK_EQ_U(i, read_number(&out[i]));
        }
    }
    CHECK_EQ_U(MANY, loaded);
    CHECK_EQ_U((MANY + CKITI_BATCH_PORTION - 1) / CKITI_BATCH_PORTION, fake_calls(s.f.store, FAKE_GET_MANY));
    CHECK_EQ_U(fake_calls(s.f.store, FAKE_GET_MANY), fake_calls(s.f.store, FAKE_SET_MANY));
    for (size_t i = 0; i < MANY; i++) {
        ckit_value_fini(&out[i]);
        ckit_args_fini(&args[i]);
    }
    free(args);
    free(each);
    free(out);
    free(answers);
    scene_close(&s);
}

CKIT_TEST(call_many, computes_the_same_call_once) {
    scene s;
    scene_open(&s, FAKE_FULL);
    many m = {.fn = s.fn, .loader = &s.m, .count = 5, .arguments = {7, 8, 7, 7, 8}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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

/* ---- failures ---------------------------------------------------------------------------------------------------- */

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
        CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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
    join_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 2);
    scene_close(&s);
}

/* ---- the function's own loader ---------------------------------------------------------------------------------------- */

static ckit_status fail_and_tell(void *context, ckit_load *load, ckit_error *err) {
    ckit_reader r;
    (void)context;
    ckit_args_positional(load->args, &r);
    long long argument = (long long)ckit_read_int(&r);
    return argument == 1 ? CKIT_E_FUNCTION : ckit_fail(err, CKIT_E_FUNCTION, "loader", "of call %lld", argument);
}

CKIT_TEST(call_many, tells_of_the_first_failure_and_not_of_another_call_s) {
    scene          s;
    ckit_function *fn = NULL;
    scene_open(&s, FAKE_FULL);
    CHECK_OK(ckit_function_new(s.f.cache, "test.telling", fail_and_tell, NULL, NULL, &fn, NULL));
    many quiet_first = {.fn = fn, .count = 2, .arguments = {1, 2}};
    run_many(&quiet_first);
    CHECK_STATUS(CKIT_E_FUNCTION, quiet_first.status);
    CHECK_STR("the function failed", quiet_first.err.text);
    many both_tell = {.fn = fn, .count = 2, .arguments = {3, 4}};
    run_many(&both_tell);
    CHECK_STR("of call 3", both_tell.err.text);
    ckit_function_close(fn);
    scene_close(&s);
}

/* ---- what is stale, and what has no key -------------------------------------------------------------------------- */

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
        CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
        fake_clock_advance(&s.f.time, 1500);
        run_many(&m);
        CHECK_EQ_I(own, m.out[0].stale);
        CHECK_ANSWERS(own ? CKIT_SOURCE_MEMORY : CKIT_SOURCE_FUNCTION, &m);
        if (own) {
            wait_until(&s.l.ended, 1);
        }
        CHECK_EQ_U(own ? 1 : 2, s.m.runs);
        ckit_function_close(fn);
        scene_close(&s);
    }
}
