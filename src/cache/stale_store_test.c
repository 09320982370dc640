/* Values past their lives from the store, where memory has none. Of op_late.c. */
#include "cache/poll_fixture.h"

static ckit_function_options options_of(void) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    options.stale_ms = 5000;
    return options;
}

/* Lives of 10 s, stale for another 5 s; the value of 7 has been stored. */
static void scene_open(stage *s, fake_kind kind) {
    ckit_function_options options = options_of();
    stage_open(s, kind, &options);
    stage_join(s, kind, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 7);
    fake_forget_calls(s->f.store);
    s->l.result = 2;
}

static void check_stale(ckit_function *fn, ckit_source source, uint64_t number) {
    answer a = call(fn, 7);
    CHECK_OK(a.status);
    CHECK(a.stale);
    CHECK_EQ_U(0, a.life_ms);
    CHECK_EQ_U(source, a.source);
    CHECK_EQ_U(number, a.number);
}

CKIT_TEST(stale_store, a_value_lives_on_beside_its_key_whose_life_ends_in_time) {
    stage s;
    scene_open(&s, FAKE_LOCKING);
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_EQ_U(15000, fake_last_ttl(s.f.store));
    CHECK_STR("test.load", fake_last_function(s.f.store));
    fake_clock_advance(&s.f.time, 9999);
    CHECK(stage_has_key(&s, 7));
    fake_clock_advance(&s.f.time, 1);
    CHECK(!stage_has_key(&s, 7) && stage_has_late(&s, 7));
    fake_clock_advance(&s.f.time, 5000);
    CHECK(!stage_has_late(&s, 7));
    stage_close(&s);
}

CKIT_TEST(stale_store, another_process_serves_it_and_refreshes_it_once) {
    stage s;
    scene_open(&s, FAKE_LOCKING);
    fake_clock_advance(&s.f.time, 12000);
    loader_shut(&s.l);
    check_stale(s.there, CKIT_SOURCE_STORE, 1);
    loader_wait_stopped(&s.l, 1);
    for (int i = 0; i < 10; i++) { /* memory has it by now */
        check_stale(s.there, CKIT_SOURCE_MEMORY, 1);
    }
    loader_open(&s.l);
    wait_for(serves_fresh, s.there);
    CHECK_EQ_U(2, call(s.there, 7).number);
    CHECK_EQ_U(2, s.l.runs);
    CHECK_EQ_U(1, stats_of(s.other).refreshes);
    CHECK_EQ_U(1, stats_of(s.other).l2_stale_hits);
    ckit_function_stats stats = CKIT_FUNCTION_STATS_INIT;
    ckit_function_get_stats(s.there, &stats);
    CHECK_EQ_U(1, stats.l2_stale_hits);
    stage_close(&s);
}

CKIT_TEST(stale_store, a_hit_costs_no_further_read_and_a_cold_miss_one) {
    stage s;
    scene_open(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.there, 7);
    CHECK_STR("get OK", fake_log(s.f.store));
    fake_forget_calls(s.f.store);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 8);
    CHECK_STR("get MISS, get MISS, set OK, set OK", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(stale_store, without_a_window_there_is_no_second_entry) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STR("get MISS, set OK", fake_log(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(stale_store, after_the_window_the_function_runs) {
    stage s;
    scene_open(&s, FAKE_FULL);
    fake_clock_advance(&s.f.time, 15000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 7);
    CHECK_EQ_U(0, stats_of(s.other).l2_stale_hits);
    stage_close(&s);
}

CKIT_TEST(stale_store, values_without_an_end_have_no_second_entry) {
    stage s;
    scene_open(&s, FAKE_FULL);
    s.l.ttl_ms = CKIT_TTL_NO_EXPIRY;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 8);
    CHECK(stage_has_key(&s, 8) && !stage_has_late(&s, 8));
    stage_close(&s);
}

CKIT_TEST(stale_store, a_store_that_hides_lives_is_believed) {
    stage s;
    scene_open(&s, FAKE_FULL);
    fake_hide_lives(s.f.store, true);
    fake_clock_advance(&s.f.time, 12000);
    check_stale(s.there, CKIT_SOURCE_STORE, 1);
    wait_for(serves_fresh, s.there);
    stage_close(&s);
}

CKIT_TEST(stale_store, a_damaged_second_entry_is_a_miss_and_removed) {
    stage s;
    scene_open(&s, FAKE_FULL);
    fake_damage(s.f.store, -12); /* in the checksum */
    fake_clock_advance(&s.f.time, 12000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 7);
    CHECK_EQ_U(1, stats_of(s.other).l2_corrupt);
    CHECK_CONTAINS("remove OK", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(stale_store, without_memory_each_call_asks_the_store) {
    stage                 s;
    ckit_function_options options = options_of();
    scene_open(&s, FAKE_FULL);
    options.l1 = CKIT_OFF;
    ckit_function *fn = function_of(s.other, "test.load", &s.l, &options);
    fake_clock_advance(&s.f.time, 12000);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    check_stale(fn, CKIT_SOURCE_STORE, 1);
    ckit_function_close(fn); /* waits for the refresh */
    fn = function_of(s.other, "test.load", &s.l, &options);
    check_stale(fn, CKIT_SOURCE_STORE, 1);
    ckit_function_close(fn);
    stage_close(&s);
}

CKIT_TEST(stale_store, a_value_that_is_renewed_in_the_store_is_renewed_there_too) {
    stage                 s;
    ckit_function_options options = options_of();
    scene_open(&s, FAKE_FULL);
    options.renew_below = 0.5;
    ckit_function *fn = function_of(s.other, "test.load", &s.l, &options);
    fake_clock_advance(&s.f.time, 8000);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    fake_clock_advance(&s.f.time, 14999);
    CHECK(!stage_has_key(&s, 7) && stage_has_late(&s, 7));
    ckit_function_close(fn);
    stage_close(&s);
}

/* ---- invalidation ------------------------------------------------------------------------------------------------ */

static void after_each(stage *s, const char *how) {
    CHECKF(!stage_has_key(s, 7) && !stage_has_late(s, 7), "%s", how);
    fake_clock_advance(&s->f.time, 12000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s->fn, 7);
    CHECKF(fake_count(s->f.store) == 2, "%s", how);
}

CKIT_TEST(stale_store, every_invalidation_removes_both_entries) {
    static const char *const ways[] = {"call", "key", "function", "all", "set", "too large"};
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        stage    s;
        ckit_buf key;
        scene_open(&s, FAKE_FULL);
        key = key_of(s.fn, 7);
        switch (way) {
        case 0: CHECK_OK(invalidate(s.there, 7)); break;
        case 1: CHECK_OK(ckit_cache_delete(s.other, ckit_buf_slice(&key), NULL, NULL)); break;
        case 2: CHECK_OK(ckit_function_invalidate(s.there, NULL, NULL)); break;
        case 3: {
            ckit_scope all = {.kind = CKIT_SCOPE_ALL};
            CHECK_OK(ckit_cache_invalidate(s.other, &all, NULL, NULL));
            break;
        }
        case 4: {
            ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
            options.encoding = CKIT_DOCUMENT;
            CHECK_OK(ckit_cache_set(s.other, ckit_buf_slice(&key), S("\x05"), &options, NULL));
            CHECK(stage_has_key(&s, 7) && !stage_has_late(&s, 7)); /* the new value is not this one */
            CHECK_OK(ckit_cache_delete(s.other, ckit_buf_slice(&key), NULL, NULL));
            break;
        }
        default: fake_fail(s.f.store, FAKE_SET, CKIT_E_TOO_LARGE, 1); CHECK_OK(refresh(s.there, 7).status);
        }
        /* This process has not heard of it: its memory is asked only when it is over. */
        CHECK(invalidate(s.fn, 7) < CKIT_E_FIRST);
        after_each(&s, ways[way]);
        ckit_buf_fini(&key);
        stage_close(&s);
    }
}

CKIT_TEST(stale_store, a_key_that_others_removed_before_its_time_leaves_nothing_to_serve) {
    stage    s;
    ckit_buf key;
    scene_open(&s, FAKE_REQUIRED);
    key = key_of(s.fn, 7);
    ckit_backend *plain =
        fake_connect(s.f.store, FAKE_REQUIRED); /* of a program that knows nothing of second entries */
    CHECK_OK(
        ckit_backend_operations(plain)->remove(ckit_backend_self(plain), ckit_buf_slice(&key), CKIT_NO_DEADLINE, NULL));
    fake_clock_advance(&s.f.time, 5000);
    CHECK(stage_has_late(&s, 7));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 7);
    ckit_backend_close(plain);
    ckit_buf_fini(&key);
    stage_close(&s);
}

CKIT_TEST(stale_store, a_failure_to_remove_the_second_entry_is_told_and_the_key_goes) {
    stage s;
    scene_open(&s, FAKE_FULL);
    fake_fail(s.f.store, FAKE_REMOVE, CKIT_E_IO, 1);
    CHECK_STATUS(CKIT_E_IO, invalidate(s.fn, 7));
    CHECK(!stage_has_key(&s, 7) && stage_has_late(&s, 7));
    stage_close(&s);
}

CKIT_TEST(stale_store, an_invalidation_between_the_two_reads_wins) {
    stage         s;
    threaded_call reader = {0};
    scene_open(&s, FAKE_REQUIRED);
    fake_clock_advance(&s.f.time, 12000);
    call_stop_in_store(&reader, s.there, 7, s.f.store, FAKE_GET, FAKE_AFTER); /* the key's own miss */
    fake_let_one(s.f.store, FAKE_GET);
    fake_wait_stopped(s.f.store, FAKE_GET, 1); /* has read the second entry */
    CHECK_OK(invalidate(s.there, 7));
    fake_open_gate(s.f.store, FAKE_GET);
    answer a = call_join(&reader);
    CHECK(!a.stale);
    CHECK_EQ_U(2, a.number);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.there, 7);
    stage_close(&s);
}

CKIT_TEST(stale_store, an_invalidation_between_the_two_writes_takes_both_back) {
    stage         s;
    threaded_call writer = {0};
    scene_open(&s, FAKE_REQUIRED);
    call_stop_in_store(&writer, s.there, 8, s.f.store, FAKE_SET, FAKE_AFTER);
    CHECK(invalidate(s.there, 8) < CKIT_E_FIRST);
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_OK(call_join(&writer).status);
    CHECK(!stage_has_key(&s, 8) && !stage_has_late(&s, 8));
    fake_clock_advance(&s.f.time, 11000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 8);
    stage_close(&s);
}

CKIT_TEST(stale_store, an_invalidation_while_it_is_refreshed_wins) {
    stage s;
    scene_open(&s, FAKE_REQUIRED);
    fake_clock_advance(&s.f.time, 12000);
    loader_shut(&s.l);
    check_stale(s.there, CKIT_SOURCE_STORE, 1);
    loader_wait_stopped(&s.l, 1);
    CHECK_OK(invalidate(s.there, 7));
    s.l.result = 3;
    loader_open(&s.l);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, s.there, 7);
    ckit_function_close(s.there); /* waits for the overtaken refresh */
    ckit_function_options options = options_of();
    s.there = function_of(s.other, "test.load", &s.l, &options);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 3, s.there, 7);
    ckit_cache    *third = fixture_cache(&s.f, FAKE_REQUIRED);
    ckit_function *fn = function_of(third, "test.load", &s.l, &options);
    CHECK_CALL(CKIT_SOURCE_STORE, 3, fn, 7);
    ckit_function_close(fn);
    ckit_cache_close(third);
    fake_clock_advance(&s.f.time, 12000);
    check_stale(s.there, CKIT_SOURCE_MEMORY, 3);
    stage_close(&s);
}

/* ---- other drivers ----------------------------------------------------------------------------------------------- */

CKIT_TEST(stale_store, ckit_begin_gives_the_value_and_the_ticket) {
    stage      s;
    ckit_op   *ticket;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, FAKE_FULL);
    fake_clock_advance(&s.f.time, 12000);
    CHECK_STATUS(CKIT_STALE, begin_op(s.there, 7, &ticket, &value));
    CHECK(ticket != NULL && ckit_op_computes(ticket));
    CHECK(value.stale);
    CHECK_EQ_U(1, read_number(&value));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x02")};
    CHECK_OK(ckit_finish(ticket, &result, NULL, NULL));
    ckit_op_free(ticket);
    ckit_value_fini(&value);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.there, 7);
    CHECK_EQ_U(1, s.l.runs);
    stage_close(&s);
}

typedef struct told {
    ckit_status answer;
    ckit_op    *op;
    ckit_value  value;
} told;

static void on_told(void *context, ckit_op *op, ckit_status came) {
    told *t = context;
    t->answer = came;
    t->op = op;
    if (came == CKIT_STALE || came == CKIT_OK) {
        ckit_op_take(op, &t->value);
    }
}

CKIT_TEST(stale_store, an_event_loop_is_told_of_it_and_gets_the_ticket) {
    static const fake_kind kinds[] = {FAKE_LOCKING, FAKE_SUBMITTING, FAKE_SUBMITTING_AT_ONCE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        loop                  lp;
        ckit_op              *op;
        ckit_function_options options = options_of();
        told                  t = {.value = CKIT_VALUE_INIT};
        loop_open(&lp, kinds[i]);
        ckit_cache    *other = fixture_cache(&lp.f, FAKE_FULL);
        ckit_function *fn = function_of(lp.f.cache, "test.stale", &lp.l, &options);
        ckit_function *there = function_of(other, "test.stale", &lp.l, &options);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, there, 7);
        fake_clock_advance(&lp.f.time, 12000);
        CHECK_STATUS(CKIT_PENDING,
                     begin_with((ckit_start){.function = fn, .poll = lp.poll, .ready = on_told, .context = &t}, 7, &op,
                                &t.value));
        CHECK_EQ_U(1, loop_turn(&lp));
        CHECK_STATUS(CKIT_STALE, t.answer);
        CHECK(t.value.stale && ckit_op_computes(t.op));
        CHECK_EQ_U(1, read_number(&t.value));
        ckit_value_fini(&t.value);
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x02")};
        CHECK_STATUS(CKIT_PENDING, ckit_finish(t.op, &result, NULL, NULL));
        CHECK_EQ_U(1, loop_turn(&lp));
        CHECK_STATUS(CKIT_OK, t.answer);
        CHECK(!ckit_op_computes(t.op));
        ckit_op_free(t.op);
        ckit_value_fini(&t.value);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 2, fn, 7);
        ckit_function_close(there);
        ckit_cache_close(other);
        ckit_function_close(fn);
        loop_close(&lp);
    }
}
