/* Many calls at once: who computes, and who waits for whom. Of batch_wait.c. */
#include "cache/many_fixture.h"

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
    join_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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
        join_many(&m);
        CHECK_STATUS(fails ? CKIT_E_FUNCTION : CKIT_OK, call_join(&single).status);
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 0);
        CHECK_ANSWER(fails ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_FLIGHT, &m, 1); /* else the batch takes over */
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, &m, 2);
        CHECK_EQ_U(fails ? 2 : 1, s.m.runs);
        CHECK_EQ_U(2, s.m.sizes[0]);
        scene_close(&s);
    }
}

static bool stop_at_the_second_time(void *context) { return ++*(unsigned *)context == 2; }

CKIT_TEST(call_many, that_is_told_to_stop_leaves_what_others_compute_and_keeps_what_it_has_computed) {
    scene            s;
    threaded_call    single = {0};
    unsigned         asked = 0;
    ckit_args        args[2], *calls[2] = {&args[0], &args[1]};
    ckit_batch      *batch, *again;
    size_t           count;
    ckit_batch_start start = CKIT_BATCH_START_INIT;
    scene_open(&s, FAKE_LOCKING);
    s.l.result = 20;
    loader_shut(&s.l);
    call_start(&single, s.fn, 2);
    loader_wait_stopped(&s.l, 1);
    start.function = s.fn, start.args = calls, start.count = 2;
    start.context = &asked, start.stop = stop_at_the_second_time;
    for (int64_t i = 0; i < 2; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], i + 1);
    }
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin_many(&start, &batch, NULL));
    CHECK_OK(load_many(&s.m, ckit_batch_missing(batch, &count), 1, NULL));
    CHECK_STATUS(CKIT_E_CANCELLED, ckit_finish_many(batch, CKIT_OK, NULL));
    CHECK_EQ_U(2, asked);
    ckit_batch_free(batch);
    CHECK_EQ_U(10, call(s.fn, 1).number);
    start.args = &calls[1], start.count = 1, asked = 0; /* nothing but what the other one computes */
    CHECK_STATUS(CKIT_E_CANCELLED, ckit_begin_many(&start, &again, NULL));
    CHECK_EQ_P(NULL, again);
    loader_open(&s.l);
    CHECK_EQ_U(20, call_join(&single).number);
    CHECK_EQ_U(1, s.l.runs);
    for (size_t i = 0; i < 2; i++) {
        ckit_args_fini(&args[i]);
    }
    scene_close(&s);
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
    join_many(&a);
    join_many(&b);
    join_many(&c);
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

CKIT_TEST(call_many, by_many_threads_in_many_orders_computes_each_call_once) {
    scene s;
    crowd crowds[6];
    scene_open(&s, FAKE_FULL);
    fake_dawdle(s.f.store, true);
    for (unsigned i = 0; i < 6; i++) {
        crowds[i] = (crowd){
            .fn = s.fn, .loader = &s.m, .rounds = 60, .advance = 1, .step = i / 2 * 2 + 1, .backwards = i % 2 != 0};
        crowd_start(&crowds[i]);
    }
    for (unsigned i = 0; i < 6; i++) {
        crowd_join(&crowds[i]);
    }
    for (unsigned i = 1; i <= CROWD_CALLS; i++) {
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
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &inner);
}

CKIT_TEST(call_many, whose_loader_makes_the_same_calls_does_not_wait_for_itself) {
    scene s;
    scene_open(&s, FAKE_LOCKING);
    s.m.during = call_two;
    s.m.context = &s;
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
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
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_CONTAINS("took more than 20 ms", s.f.log.text);
    loader_open(&s.l);
    CHECK_EQ_U(1, call_join(&single).number);
    scene_close(&s);
}
