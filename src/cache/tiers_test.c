/* How long results live, which tiers keep them, explicit refreshes, and what is counted. Of stats.c. */
#include "cache/cache_fixture.h"

#include <math.h>

/* ---- lifetimes --------------------------------------------------------------------------------------------------- */

static void check_life(uint64_t cache_ttl, uint64_t function_ttl, uint64_t chosen, uint64_t expected) {
    fixture f;
    loader  l;
    fixture_prepare(&f);
    f.options.default_ttl_ms = cache_ttl;
    fixture_start(&f, FAKE_FULL);
    loader_init(&l);
    l.ttl_ms = chosen;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = function_ttl;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_EQ_U(expected, call(fn, 7).life_ms);
    CHECK_EQ_U(expected, fake_last_ttl(f.store));
    if (expected != CKIT_TTL_NO_EXPIRY) {
        fake_clock_advance(&f.time, expected - 1);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
        fake_clock_advance(&f.time, 1);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    } else {
        fake_clock_advance(&f.time, CKIT_TTL_MAX_MS * 2);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
    }
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(ttl, defect_16_without_any_choice_a_value_lives_an_hour) { check_life(0, 0, 0, 3600000); }
CKIT_TEST(ttl, the_cache_s_default_is_used_where_the_function_has_none) { check_life(1000, 0, 0, 1000); }
CKIT_TEST(ttl, the_function_s_option_wins_over_the_cache) { check_life(1000, 2000, 0, 2000); }
CKIT_TEST(ttl, the_loader_s_choice_wins_over_all) { check_life(1000, 2000, 3000, 3000); }
CKIT_TEST(ttl, no_expiry_can_be_the_default) { check_life(CKIT_TTL_NO_EXPIRY, 0, 0, CKIT_TTL_NO_EXPIRY); }
CKIT_TEST(ttl, no_expiry_can_be_the_function_s) { check_life(0, CKIT_TTL_NO_EXPIRY, 0, CKIT_TTL_NO_EXPIRY); }
CKIT_TEST(ttl, no_expiry_can_be_the_loader_s) { check_life(0, 1000, CKIT_TTL_NO_EXPIRY, CKIT_TTL_NO_EXPIRY); }
CKIT_TEST(ttl, the_loader_can_choose_a_life_where_the_function_has_none) { check_life(0, CKIT_TTL_NO_EXPIRY, 5, 5); }
CKIT_TEST(ttl, defect_17_milliseconds_are_kept) { check_life(0, 1, 0, 1); }
CKIT_TEST(ttl, ten_years_are_the_longest) { check_life(0, CKIT_TTL_MAX_MS, 0, CKIT_TTL_MAX_MS); }

static void check_not_stored(uint64_t function_ttl, uint64_t chosen) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    l.ttl_ms = chosen;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = function_ttl;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_EQ_U(0, call(fn, 7).life_ms);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_EQ_U(2, l.runs);
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_SET));
    CHECK(!fake_is_locked(f.store));
    CHECK_EQ_U(0, stats_of(f.cache).l1_entries);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(ttl, defect_15_do_not_store_stores_nothing) { check_not_stored(CKIT_TTL_DO_NOT_STORE, 0); }
CKIT_TEST(ttl, a_loader_can_say_do_not_store) { check_not_stored(0, CKIT_TTL_DO_NOT_STORE); }

CKIT_TEST(ttl, a_loader_that_chooses_too_long_a_life_is_told) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    s.l.ttl_ms = CKIT_TTL_MAX_MS + 1;
    answer a = call(s.fn, 7);
    CHECK_STATUS(CKIT_E_MISUSE, a.status);
    CHECK_CONTAINS("315360000001", a.error.text);
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

/* ---- which tiers ------------------------------------------------------------------------------------------------- */

CKIT_TEST(tiers, without_memory_every_call_asks_the_store) {
    stage s;
    stage_prepare(&s);
    s.f.options.l1 = CKIT_OFF;
    stage_start(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.fn, 7);
    CHECK_OK(invalidate(s.fn, 7));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(0, stats_of(s.f.cache).l1_max_bytes);
    stage_close(&s);
}

CKIT_TEST(tiers, one_function_can_do_without_memory) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.l1 = CKIT_OFF;
    ckit_function *without = function_of(f.cache, "test.load", &l, &options);
    ckit_function *with = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, without, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, without, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, with, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, with, 7);
    l.result = 2; /* what one handle stores, the other does not contradict */
    CHECK_EQ_U(2, refresh(without, 7).number);
    CHECK_CALL(CKIT_SOURCE_STORE, 2, with, 7);
    ckit_function_close(without);
    ckit_function_close(with);
    fixture_close(&f);
}

CKIT_TEST(tiers, without_a_store_memory_is_the_cache) {
    stage       s;
    ckit_health health;
    stage_open_memory(&s, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    ckit_cache_health(s.f.cache, &health);
    CHECK(health.healthy);
    CHECK_STR("memory", health.backend_type);
    CHECK_EQ_U(1, health.entries);
    CHECK(ckit_cache_backend(s.f.cache) == NULL);
    stage_close(&s);
}

CKIT_TEST(tiers, without_any_tier_calls_still_work) {
    stage s;
    stage_prepare(&s);
    s.f.options.l1 = CKIT_OFF;
    stage_start_memory(&s, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_STATUS(CKIT_MISS, invalidate(s.fn, 7));
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    stage_close(&s);
}

CKIT_TEST(tiers, integrity_is_part_of_the_key) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.integrity = CKIT_OFF;
    ckit_function *bare = function_of(f.cache, "test.load", &l, &options);
    ckit_function *checked = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, checked, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, bare, 7);
    CHECK_EQ_U(2, fake_count(f.store));
    l.result = 2;
    CHECK_OK(ckit_function_invalidate(bare, NULL, NULL)); /* the scope does not know integrity: both are gone */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, checked, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, bare, 7);
    ckit_function_close(bare);
    ckit_function_close(checked);
    fixture_close(&f);
}

CKIT_TEST(tiers, functions_of_one_name_and_namespace_share_their_entries) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "a";
    ckit_function *one = function_of(f.cache, "test.load", &l, &options);
    ckit_function *two = function_of(f.cache, "test.load", &l, &options);
    ckit_function *elsewhere = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, one, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, two, 7);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, elsewhere, 7);
    ckit_function_close(one);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, two, 7);
    ckit_function_close(two);
    ckit_function_close(elsewhere);
    fixture_close(&f);
}

/* ---- explicit refresh -------------------------------------------------------------------------------------------- */

CKIT_TEST(refresh, runs_the_function_whatever_is_cached_and_stores_the_result) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.l.result = 2;
    fake_forget_calls(s.f.store);
    answer a = refresh(s.fn, 7);
    CHECK_EQ_U(2, a.number);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, a.source);
    CHECK_STR("set OK", fake_log(s.f.store));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 2, s.there, 7);
    CHECK_OK(ckit_refresh(s.fn, NULL, NULL, NULL));
    stage_close(&s);
}

CKIT_TEST(refresh, a_failing_one_keeps_what_is_cached) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, refresh(s.fn, 7).status);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    stage_close(&s);
}

CKIT_TEST(refresh, leaves_nothing_older_behind_when_another_result_overtakes_it) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    threaded_call slow = {.refreshes = true}, fast = {.refreshes = true};
    loader_shut(&s.l);
    call_start(&slow, s.fn, 7); /* gives 1 */
    loader_wait_stopped(&s.l, 1);
    s.l.result = 2;
    call_start(&fast, s.fn, 7); /* began later, gives 2 */
    loader_wait_stopped(&s.l, 2);
    loader_open(&s.l);
    CHECK_OK(call_join(&slow).status);
    CHECK_OK(call_join(&fast).status);
    s.l.result = 3;
    answer a = call(s.fn, 7);
    CHECK(a.source == CKIT_SOURCE_FUNCTION || a.number == 2 || a.number == 1);
    stage_join(&s, FAKE_FULL, NULL);
    CHECK_EQ_U(a.number, call(s.there, 7).number); /* the tiers agree */
    stage_close(&s);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

CKIT_TEST(stats, a_function_counts_its_own) {
    stage s;
    stage_open_two(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.there, 7);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 8).status);
    ckit_function_stats stats = {.struct_size = sizeof stats};
    ckit_function_get_stats(s.fn, &stats);
    CHECK_EQ_U(1, stats.l1_hits);
    CHECK_EQ_U(0, stats.l2_hits);
    CHECK_EQ_U(2, stats.misses);
    CHECK_EQ_U(1, stats.computed);
    CHECK_EQ_U(1, stats.errors);
    ckit_function_get_stats(s.there, &stats);
    CHECK_EQ_U(1, stats.l2_hits);
    CHECK_EQ_U(0, stats.misses);
    ckit_cache_stats all = stats_of(s.f.cache);
    CHECK_EQ_U(1, all.l1_hits);
    CHECK_EQ_U(2, all.l1_misses);
    CHECK_EQ_U(2, all.l2_misses);
    CHECK_EQ_U(1, all.l2_writes);
    CHECK_EQ_U(1, all.function_errors);
    stage_close(&s);
}

CKIT_TEST(stats, an_older_program_gets_as_much_as_it_knows) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    ckit_cache_stats stats;
    memset(&stats, 0xaa, sizeof stats);
    stats.struct_size = offsetof(ckit_cache_stats, l2_writes);
    ckit_cache_get_stats(s.f.cache, &stats);
    CHECK_EQ_U(1, stats.l2_misses);
    CHECK_EQ_U(0xaaaaaaaaaaaaaaaa, stats.l2_writes);
    stage_close(&s);
}

/* ---- sliding expiration ----------------------------------------------------------------------------------------- */

/* A function without memory whose values live a second, and are renewed in its last half. */
static void renewing(fixture *f, loader *l, ckit_function **fn, fake_kind kind) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open(f, kind);
    loader_init(l);
    options.ttl_ms = 1000;
    options.renew_below = 0.5;
    options.l1 = CKIT_OFF;
    *fn = function_of(f->cache, "test.renewed", l, &options);
}

CKIT_TEST(renewal, comes_with_a_hit_late_in_life_and_not_before) {
    fixture        f;
    loader         l;
    ckit_function *fn;
    renewing(&f, &l, &fn, FAKE_FULL);
    (void)call(fn, 7);
    fake_clock_advance(&f.time, 500);
    CHECK_EQ_U(500, call(fn, 7).life_ms);
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_TOUCH));
    fake_clock_advance(&f.time, 1);
    CHECK_EQ_U(1000, call(fn, 7).life_ms);
    CHECK_EQ_U(1, fake_calls(f.store, FAKE_TOUCH));
    for (int i = 0; i < 10; i++) {
        fake_clock_advance(&f.time, 900);
        CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    }
    CHECK_EQ_U(1, l.runs);
    fake_clock_advance(&f.time, 1000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(renewal, asks_a_store_that_does_not_tell_lives_with_values) {
    fixture        f;
    loader         l;
    ckit_function *fn;
    renewing(&f, &l, &fn, FAKE_FULL);
    (void)call(fn, 7);
    fake_hide_lives_of_values(f.store, true);
    CHECK_EQ_U(1000, call(fn, 7).life_ms);
    CHECK_EQ_U(1, fake_calls(f.store, FAKE_TTL));
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_TOUCH));
    fake_clock_advance(&f.time, 501);
    CHECK_EQ_U(1000, call(fn, 7).life_ms);
    CHECK_EQ_U(1, fake_calls(f.store, FAKE_TOUCH));
    fake_clock_advance(&f.time, 501);
    fake_fail(f.store, FAKE_TTL, CKIT_E_IO, 1); /* then nobody knows */
    CHECK_EQ_U(CKIT_LIFE_UNKNOWN, call(fn, 7).life_ms);
    CHECK_EQ_U(1, stats_of(f.cache).l2_errors);
    CHECK_EQ_U(1, fake_calls(f.store, FAKE_TOUCH));
    CHECK_EQ_U(1, l.runs);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(renewal, that_fails_or_cannot_be_leaves_the_value_as_it_is) {
    fixture        f;
    loader         l;
    ckit_function *fn;
    renewing(&f, &l, &fn, FAKE_FULL);
    (void)call(fn, 7);
    fake_clock_advance(&f.time, 900);
    fake_fail(f.store, FAKE_TOUCH, CKIT_E_IO, 1);
    CHECK_EQ_U(100, call(fn, 7).life_ms);
    CHECK_EQ_U(1, stats_of(f.cache).l2_errors);
    ckit_function_close(fn);
    fixture_close(&f);
    renewing(&f, &l, &fn, FAKE_REQUIRED);
    (void)call(fn, 7);
    fake_clock_advance(&f.time, 900);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(renewal, is_not_for_values_without_end) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    options.ttl_ms = CKIT_TTL_NO_EXPIRY;
    options.renew_below = 1;
    options.l1 = CKIT_OFF;
    ckit_function *fn = function_of(f.cache, "test.renewed", &l, &options);
    (void)call(fn, 7);
    (void)call(fn, 7);
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_TOUCH));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(renewal, threshold_beyond_the_whole_is_refused) {
    static const double wrong[] = {-0.1, 1.1, (double)NAN};
    fixture             f;
    fixture_open(&f, FAKE_FULL);
    for (size_t i = 0; i < 3; i++) {
        ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
        ckit_function        *fn;
        options.renew_below = wrong[i];
        CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(f.cache, "test", NULL, NULL, &options, &fn, NULL));
    }
    fixture_close(&f);
}
