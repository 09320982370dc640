/* Stale values: served for a while past their lives, and refreshed by one call in the background. */
#include "cache/cache_fixture.h"

typedef struct scene {
    fixture        f;
    loader         l;
    ckit_function *fn;
} scene;

/* Lives of 1000 ms, stale for another 1000 ms. */
static void scene_start(scene *s) {
    loader_init(&s->l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 7);
}

static void scene_open(scene *s) {
    fixture_open(&s->f, FAKE_LOCKING);
    scene_start(s);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

CKIT_TEST(stale, a_value_past_its_life_is_served_and_refreshed_once_in_the_background) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1000);
    s.l.result = 2;
    loader_shut(&s.l);
    for (int i = 0; i < 10; i++) {
        answer a = call(s.fn, 7);
        CHECK_OK(a.status);
        CHECK(a.stale);
        CHECK_EQ_U(1, a.number);
        CHECK_EQ_U(0, a.life_ms);
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, a.source);
    }
    loader_wait_stopped(&s.l, 1);
    loader_open(&s.l);
    wait_for(serves_fresh, s.fn);
    answer a = call(s.fn, 7);
    CHECK_EQ_U(2, a.number);
    CHECK_EQ_U(1000, a.life_ms);
    CHECK_EQ_U(2, s.l.runs);
    CHECK_EQ_U(1, stats_of(s.f.cache).refreshes);
    CHECK(stats_of(s.f.cache).l1_stale_hits >= 10);
    scene_close(&s);
}

CKIT_TEST(stale, the_refreshed_value_is_in_the_store_too) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    s.l.result = 2;
    CHECK(call(s.fn, 7).stale);
    wait_for(serves_fresh, s.fn);
    ckit_cache    *other = fixture_cache(&s.f, FAKE_FULL);
    ckit_function *same = function_of(other, "test.load", &s.l, NULL);
    CHECK_CALL(CKIT_SOURCE_STORE, 2, same, 7);
    ckit_function_close(same);
    ckit_cache_close(other);
    scene_close(&s);
}

CKIT_TEST(stale, without_a_window_nothing_stale_is_served) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    fake_clock_advance(&f.time, 1000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(stale, after_the_window_the_caller_waits_for_the_function) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 2000);
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(0, stats_of(s.f.cache).refreshes);
    scene_close(&s);
}

static bool has_refreshed(void *context) {
    const scene *s = context;
    return stats_of(s->f.cache).function_errors >= 1;
}

CKIT_TEST(stale, a_failing_refresh_keeps_the_value_until_its_window_ends) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1000);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    CHECK(call(s.fn, 7).stale);
    wait_for(has_refreshed, &s);
    CHECK(call(s.fn, 7).stale); /* and tries again */
    fake_clock_advance(&s.f.time, 999);
    CHECK(call(s.fn, 7).stale);
    fake_clock_advance(&s.f.time, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    CHECK_CONTAINS("a background refresh of test.load failed", s.f.log.text);
    scene_close(&s);
}

CKIT_TEST(stale, closing_the_function_waits_for_its_refresh) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    fake_shut(s.f.store, FAKE_SET, FAKE_BEFORE);
    CHECK(call(s.fn, 7).stale);
    fake_wait_stopped(s.f.store, FAKE_SET, 1);
    fake_open_gate(s.f.store, FAKE_SET);
    ckit_function_close(s.fn);
    CHECK_EQ_U(2, s.l.ended);
    CHECK_EQ_U(4, stats_of(s.f.cache).l2_writes); /* each value twice: stale_store_test.c */
    fixture_close(&s.f);
}

CKIT_TEST(stale, a_full_queue_puts_the_refresh_off) {
    scene s;
    fixture_prepare(&s.f);
    s.f.options.workers = 1;
    s.f.options.queue_max = 1;
    s.f.options.sweep_interval_ms = 86400000;
    fixture_start(&s.f, FAKE_FULL);
    scene_start(&s); /* the sweep takes the only place in the queue */
    fake_clock_advance(&s.f.time, 1500);
    for (int i = 0; i < 5; i++) {
        CHECK(call(s.fn, 7).stale);
    }
    CHECK_EQ_U(1, s.l.runs);
    scene_close(&s);
}

CKIT_TEST(stale, who_comes_after_the_window_joins_the_refresh_that_is_under_way) {
    scene         s;
    threaded_call late = {0};
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    loader_shut(&s.l);
    s.l.result = 2;
    CHECK(call(s.fn, 7).stale);
    loader_wait_stopped(&s.l, 1);
    fake_clock_advance(&s.f.time, 1000);
    call_start(&late, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    loader_open(&s.l);
    answer a = call_join(&late);
    CHECK_EQ_U(CKIT_SOURCE_FLIGHT, a.source);
    CHECK_EQ_U(2, a.number);
    CHECK_EQ_U(2, s.l.runs);
    scene_close(&s);
}

CKIT_TEST(stale, the_thread_that_started_a_refresh_can_wait_for_it) {
    scene s;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    fake_shut(s.f.store, FAKE_SET, FAKE_BEFORE);
    CHECK(call(s.fn, 7).stale);
    fake_wait_stopped(s.f.store, FAKE_SET, 1);
    fake_clock_advance(&s.f.time, 1000);
    threaded_call opener = {0};
    call_start(&opener, s.fn, 7); /* another follower, whose waiting tells when to open the gate */
    wait_flight_waits(s.f.cache, 1);
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_OK(call(s.fn, 7).status);
    CHECK_OK(call_join(&opener).status);
    CHECK_EQ_U(2, s.l.runs);
    scene_close(&s);
}

/* ---- tickets ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(stale, one_caller_of_ckit_begin_gets_the_ticket_to_refresh) {
    scene      s;
    ckit_op   *ticket, *none;
    ckit_value value = CKIT_VALUE_INIT, second = CKIT_VALUE_INIT;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    CHECK_STATUS(CKIT_STALE, begin_op(s.fn, 7, &ticket, &value));
    CHECK(ticket != NULL);
    CHECK(value.stale);
    CHECK_STATUS(CKIT_STALE, begin_op(s.fn, 7, &none, &second));
    CHECK(none == NULL);
    CHECK_EQ_U(1, read_number(&second));
    ckit_value_fini(&second);
    CHECK(call(s.fn, 7).stale);
    CHECK_EQ_U(1, s.l.runs); /* the ticket is out: nobody else refreshes */
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x02")};
    CHECK_OK(ckit_finish(ticket, &result, NULL, NULL));
    ckit_op_free(ticket);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(stale, a_ticket_that_is_freed_goes_to_the_next_caller) {
    scene      s;
    ckit_op   *ticket;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    CHECK_STATUS(CKIT_STALE, begin_op(s.fn, 7, &ticket, &value));
    ckit_op_free(ticket);
    ckit_value_fini(&value);
    CHECK_STATUS(CKIT_STALE, begin_op(s.fn, 7, &ticket, &value));
    CHECK(ticket != NULL);
    ckit_op_free(ticket);
    ckit_value_fini(&value);
    scene_close(&s);
}

CKIT_TEST(stale, a_ticket_alone_comes_without_a_value_and_never_waits) {
    scene      s;
    ckit_op   *ticket, *none;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    const ckit_start start = {.function = s.fn, .stale = true};
    CHECK_STATUS(CKIT_STALE, begin_with(start, 7, &ticket, &value));
    CHECK(ticket != NULL);
    CHECK(value.data.ptr == NULL && value.release == NULL);
    fake_clock_advance(&s.f.time, 1000); /* nothing to serve any more: a call would wait for the ticket */
    CHECK_STATUS(CKIT_STALE, begin_with(start, 7, &none, &value));
    CHECK(none == NULL);
    CHECK_EQ_U(1, stats_of(s.f.cache).refreshes);
    ckit_op_free(ticket);
    scene_close(&s);
}

CKIT_TEST(stale, who_gave_a_ticket_away_can_wait_for_it_and_who_has_it_does_not_wait_for_itself) {
    scene         s;
    threaded_call waiting = {0};
    ckit_op      *ticket;
    ckit_value    value = CKIT_VALUE_INIT;
    scene_open(&s);
    fake_clock_advance(&s.f.time, 1500);
    CHECK_STATUS(CKIT_STALE, begin_with((ckit_start){.function = s.fn, .stale = true}, 7, &ticket, &value));
    fake_clock_advance(&s.f.time, 1000);
    call_start(&waiting, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    ckit_op_move_here(ticket);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(2, s.l.runs);
    ckit_op_free(ticket); /* the waiting call leads on, and finds what the other one has kept */
    CHECK_OK(call_join(&waiting).status);
    CHECK_EQ_U(2, s.l.runs);
    scene_close(&s);
}

/* ---- refreshed before the end ------------------------------------------------------------------------------------ */

static void scene_open_early(scene *s) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open_memory(&s->f);
    loader_init(&s->l);
    options.ttl_ms = 10000;
    options.early_refresh = 0.5;
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
}

CKIT_TEST(stale, an_early_refresh_comes_after_a_part_of_the_life_and_the_life_still_ends) {
    scene s;
    scene_open_early(&s);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    fake_clock_advance(&s.f.time, 4499);
    CHECK(!call(s.fn, 7).stale);
    fake_clock_advance(&s.f.time, 1002);
    CHECK(call(s.fn, 7).stale);
    wait_for(has_refreshed, &s);
    fake_clock_advance(&s.f.time, 4498);
    CHECK(call(s.fn, 7).stale);
    fake_clock_advance(&s.f.time, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    scene_close(&s);
}

CKIT_TEST(stale, an_early_refresh_gives_a_whole_life_anew) {
    scene s;
    scene_open_early(&s);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_clock_advance(&s.f.time, 9000);
    s.l.result = 2;
    CHECK(call(s.fn, 7).stale);
    wait_for(serves_fresh, s.fn);
    fake_clock_advance(&s.f.time, 4000);
    answer a = call(s.fn, 7);
    CHECK(!a.stale);
    CHECK_EQ_U(2, a.number);
    CHECK(a.life_ms >= 500 && a.life_ms <= 1500);
    CHECK_EQ_U(2, s.l.runs);
    scene_close(&s);
}

CKIT_TEST(stale, a_value_is_found_to_forget_while_it_is_stale_and_not_later) {
    scene s;
    scene_open_early(&s);
    for (int64_t i = 0; i < 3; i++) {
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, i);
    }
    CHECK_OK(invalidate(s.fn, 0));
    fake_clock_advance(&s.f.time, 9999);
    CHECK_OK(invalidate(s.fn, 1));
    CHECK_STATUS(CKIT_MISS, invalidate(s.fn, 1));
    fake_clock_advance(&s.f.time, 1);
    CHECK_STATUS(CKIT_MISS, invalidate(s.fn, 2));
    scene_close(&s);
}
