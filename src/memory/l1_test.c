/* The tier from outside: what it keeps, for how long, and what it gives back. Of l1_read.c, memory_backend.c and
 * table.c. */
#include "memory/l1_test.h"

/* ---- lifetimes ------------------------------------------------------------------------------------------- */

CKIT_TEST(l1, what_was_put_is_found) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put(l1, "greeting", "hello"));
    CHECK_OK(get_at(l1, S("greeting"), T0, &value));
    CHECK_TEXT("hello", value.data);
    CHECK_EQ_U(HOUR_MS, value.life_ms);
    CHECK_EQ_I(CKIT_SOURCE_MEMORY, value.source);
    CHECK(!value.stale && value.object == NULL);
    ckit_value_fini(&value);
    CHECK_STATUS(CKIT_MISS, probe(l1, "farewell"));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_miss_leaves_the_value_alone) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value, before;
    memset(&value, 0x5a, sizeof value);
    before = value;
    CHECK_STATUS(CKIT_MISS, get_at(l1, S("absent"), T0, &value));
    CHECK(memcmp(&before, &value, sizeof value) == 0);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, an_entry_ends_exactly_at_its_lifetime) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    CHECK_OK(put_at(l1, S("k"), S("v"), 1000, 5000));
    CHECK_OK(probe_at(l1, S("k"), 5999));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), 6000));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, remaining_life_counts_down) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put_at(l1, S("k"), S("v"), 1000, 5000));
    CHECK_OK(get_at(l1, S("k"), 5400, &value));
    CHECK_EQ_U(600, value.life_ms);
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, an_entry_without_expiry_outlives_any_time) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put_at(l1, S("k"), S("v"), CKIT_LIFE_NO_EXPIRY, T0));
    CHECK_OK(get_at(l1, S("k"), T0 + CKIT_TTL_MAX_MS * 2, &value));
    CHECK_EQ_U(CKIT_LIFE_NO_EXPIRY, value.life_ms);
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, lifetimes_beyond_the_clock_are_cut_and_still_long) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put_at(l1, S("k"), S("v"), UINT64_MAX - 5, T0));
    CHECK_OK(get_at(l1, S("k"), T0 + CKIT_TTL_MAX_MS, &value));
    CHECK(value.life_ms > CKIT_TTL_MAX_MS && value.life_ms != CKIT_LIFE_NO_EXPIRY);
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_stale_window_follows_the_lifetime) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckit_value        value = CKIT_VALUE_INIT;
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 1000;
    args.stale_ms = 500;
    CHECK_OK(ckiti_l1_put(l1, &args, 5000));
    CHECK_OK(probe_at(l1, S("k"), 5999));
    CHECK_STATUS(CKIT_STALE, get_at(l1, S("k"), 6000, &value));
    CHECK(value.stale);
    CHECK_EQ_U(0, value.life_ms);
    CHECK_TEXT("v", value.data);
    ckit_value_fini(&value);
    CHECK_STATUS(CKIT_STALE, probe_at(l1, S("k"), 6499));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), 6500));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, stale_windows_of_many_days_are_kept_to_the_second) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    const uint64_t    window = UINT64_C(90) * 24 * 3600 * 1000; /* more milliseconds than 31 bits hold */
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 1000;
    args.stale_ms = window;
    CHECK_OK(ckiti_l1_put(l1, &args, 0));
    CHECK_STATUS(CKIT_STALE, probe_at(l1, S("k"), 1000 + window - 1000));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), 1000 + window));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, touch_gives_a_new_lifetime_from_now) {
    ckiti_l1      *l1 = open_tier(1 << 20);
    ckiti_l1_query query = query_of(l1, S("k"));
    CHECK_OK(put_at(l1, S("k"), S("v"), 1000, 5000));
    CHECK_OK(ckiti_l1_touch(l1, &query, 2000, 5900));
    CHECK_OK(probe_at(l1, S("k"), 7899));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), 7900));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_touch(l1, &query, 2000, 7900));
    query = query_of(l1, S("absent"));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_touch(l1, &query, 2000, 5900));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, touch_keeps_the_stale_window) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckiti_l1_query    query = query_of(l1, S("k"));
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 1000;
    args.stale_ms = 100;
    CHECK_OK(ckiti_l1_put(l1, &args, 5000));
    CHECK_OK(ckiti_l1_touch(l1, &query, 3000, 5500));
    CHECK_STATUS(CKIT_STALE, probe_at(l1, S("k"), 8599));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), 8600));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, peek_tells_what_life_remains_and_counts_as_no_use) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    uint64_t          life = 7;
    ckiti_l1_query    query = query_of(l1, S("k"));
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 1000;
    args.stale_ms = 1000;
    CHECK_STATUS(CKIT_MISS, ckiti_l1_peek(l1, &query, 5000, &life));
    CHECK_OK(ckiti_l1_put(l1, &args, 5000));
    CHECK_OK(ckiti_l1_peek(l1, &query, 5100, &life));
    CHECK_EQ_U(900, life);
    CHECK_STATUS(CKIT_STALE, ckiti_l1_peek(l1, &query, 6000, &life));
    CHECK_EQ_U(1000, life);
    CHECK_STATUS(CKIT_MISS, ckiti_l1_peek(l1, &query, 7000, &life));
    CHECK_EQ_U(0, stats_of(l1).hits);
    ckiti_l1_close(l1);
}

/* ---- keys and values ------------------------------------------------------------------------------------- */

CKIT_TEST(l1, keys_and_values_of_every_length_come_back) {
    static uint8_t bytes[300], key_bytes[CKITI_L1_MAX_KEY_BYTES];
    ckiti_l1      *l1 = open_tier(8 << 20);
    memset(key_bytes, 'k', sizeof key_bytes);
    for (size_t len = 0; len <= 300; len++) {
        ckit_value value = CKIT_VALUE_INIT;
        ckit_slice key = {key_bytes, len};
        describe_value(bytes, len, len);
        CHECK_OK(put_at(l1, key, (ckit_slice){bytes, len}, HOUR_MS, T0));
        CHECK_OK(get_at(l1, key, T0, &value));
        CHECKF(value_is(value.data, len, len), "length %zu", len);
        ckit_value_fini(&value);
    }
    for (size_t len = 0; len <= 300; len++) { /* none disturbed another */
        CHECK_OK(probe_at(l1, (ckit_slice){key_bytes, len}, T0));
    }
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, keys_that_differ_in_one_byte_are_different) {
    static uint8_t key_bytes[100];
    ckiti_l1      *l1 = open_tier(8 << 20);
    for (size_t len = 1; len <= sizeof key_bytes; len++) {
        memset(key_bytes, 'a', sizeof key_bytes);
        ckit_slice key = {key_bytes, len};
        /* A hash of one's own: the comparison alone must tell them apart. */
        ckiti_l1_put_args args = args_of(l1, key, S("v"));
        args.hash = 42;
        CHECK_OK(ckiti_l1_put(l1, &args, T0));
        for (size_t i = 0; i < len; i++) {
            ckit_value     value = CKIT_VALUE_INIT;
            ckiti_l1_query query = {.key = key, .hash = 42, .tag = TAG};
            key_bytes[i] = 'b';
            CHECK_STATUS(CKIT_MISS, ckiti_l1_get(l1, &query, T0, &value));
            key_bytes[i] = 'a';
        }
        CHECK_OK(ckiti_l1_remove(l1, key, 42));
    }
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, the_longest_key_is_taken_and_a_longer_one_refused) {
    static uint8_t key_bytes[CKITI_L1_MAX_KEY_BYTES + 1];
    ckiti_l1      *l1 = open_tier(1 << 20);
    ckit_slice     longest = {key_bytes, CKITI_L1_MAX_KEY_BYTES}, longer = {key_bytes, CKITI_L1_MAX_KEY_BYTES + 1};
    CHECK_OK(put_at(l1, longest, S("v"), HOUR_MS, T0));
    CHECK_OK(probe_at(l1, longest, T0));
    CHECK_STATUS(CKIT_E_TOO_LARGE, put_at(l1, longer, S("v"), HOUR_MS, T0));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, longer, T0));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, an_empty_value_is_a_value) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put(l1, "k", ""));
    CHECK_OK(get_at(l1, S("k"), T0, &value));
    CHECK_EQ_U(0, value.data.len);
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_second_put_replaces_the_value_and_its_life) {
    ckiti_l1  *l1 = open_tier(1 << 20);
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(put_at(l1, S("k"), S("old"), 1000, T0));
    CHECK_OK(put_at(l1, S("k"), S("new and longer"), 5000, T0));
    CHECK_OK(get_at(l1, S("k"), T0 + 2000, &value));
    CHECK_TEXT("new and longer", value.data);
    CHECK_EQ_U(3000, value.life_ms);
    ckit_value_fini(&value);
    CHECK_EQ_U(1, stats_of(l1).entries);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, another_tag_is_a_miss) {
    ckiti_l1      *l1 = open_tier(1 << 20);
    ckit_value     value = CKIT_VALUE_INIT;
    ckiti_l1_query query = query_of(l1, S("k"));
    CHECK_OK(put(l1, "k", "v"));
    query.tag = TAG + 1;
    CHECK_STATUS(CKIT_MISS, ckiti_l1_get(l1, &query, T0, &value));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_touch(l1, &query, 1000, T0));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_removed_entry_is_gone) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    CHECK_OK(put(l1, "k", "v"));
    CHECK_OK(put(l1, "other", "v"));
    CHECK_OK(ckiti_l1_remove(l1, S("k"), ckiti_l1_hash(l1, S("k"))));
    CHECK_STATUS(CKIT_MISS, probe(l1, "k"));
    CHECK_OK(probe(l1, "other"));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_remove(l1, S("k"), ckiti_l1_hash(l1, S("k"))));
    ckiti_l1_close(l1);
}

/* ---- invalidation ---------------------------------------------------------------------------------------- */

CKIT_TEST(l1, invalidating_all_hides_every_entry_and_no_later_one) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    CHECK_OK(put(l1, "a", "1"));
    CHECK_OK(put(l1, "b", "2"));
    ckiti_l1_invalidate_all(l1);
    CHECK_STATUS(CKIT_MISS, probe(l1, "a"));
    CHECK_STATUS(CKIT_MISS, probe(l1, "b"));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_remove(l1, S("a"), ckiti_l1_hash(l1, S("a"))));
    CHECK_OK(put(l1, "a", "3"));
    CHECK_OK(probe(l1, "a"));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_value_from_before_an_invalidation_cannot_come_back) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckiti_l1_put_args args = args_of(l1, S("k"), S("computed before"));
    ckiti_l1_invalidate_all(l1);
    CHECK_STATUS(CKIT_MISS, ckiti_l1_put(l1, &args, T0));
    CHECK_STATUS(CKIT_MISS, probe(l1, "k"));
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_functions_floor_hides_its_older_entries_only) {
    ckiti_l1      *l1 = open_tier(1 << 20);
    ckit_value     value = CKIT_VALUE_INIT;
    ckiti_l1_query query = query_of(l1, S("f(1)"));
    CHECK_EQ_U(1, ckiti_l1_birth(l1));
    CHECK_OK(put(l1, "f(1)", "old"));
    query.min_birth = ckiti_l1_bump(l1);
    CHECK_EQ_U(2, query.min_birth);
    CHECK_EQ_U(2, ckiti_l1_birth(l1));
    CHECK_STATUS(CKIT_MISS, ckiti_l1_get(l1, &query, T0, &value));
    CHECK_OK(probe(l1, "f(1)")); /* another function's floor is lower */
    CHECK_OK(put(l1, "f(1)", "new"));
    CHECK_OK(ckiti_l1_get(l1, &query, T0, &value));
    CHECK_TEXT("new", value.data);
    ckit_value_fini(&value);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, births_beyond_32_bits_are_told_apart) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckit_value        value = CKIT_VALUE_INIT;
    ckiti_l1_query    query = query_of(l1, S("k"));
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.birth = (UINT64_C(5) << 32) + 7;
    CHECK_OK(ckiti_l1_put(l1, &args, T0));
    query.min_birth = args.birth;
    CHECK_OK(ckiti_l1_get(l1, &query, T0, &value));
    ckit_value_fini(&value);
    query.min_birth = args.birth + 1;
    CHECK_STATUS(CKIT_MISS, ckiti_l1_get(l1, &query, T0, &value));
    ckiti_l1_close(l1);
}

/* ---- sweep ----------------------------------------------------------------------------------------------- */

CKIT_TEST(l1, a_sweep_frees_what_has_expired_and_keeps_the_rest) {
    char      buffer[32];
    ckiti_l1 *l1 = open_tier(16 << 20);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_OK(put_at(l1, number_key(buffer, sizeof buffer, i), S("v"), i % 4 == 0 ? 100 : HOUR_MS, T0));
    }
    CHECK_EQ_U(0, ckiti_l1_sweep(l1, T0 + 99, 5000, NULL, NULL));
    CHECK_EQ_U(250, ckiti_l1_sweep(l1, T0 + 100, 5000, NULL, NULL));
    CHECK_EQ_U(0, ckiti_l1_sweep(l1, T0 + 100, 5000, NULL, NULL));
    ckiti_l1_stats stats = stats_of(l1);
    CHECK_EQ_U(750, stats.entries);
    CHECK_EQ_U(250, stats.expired);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_STATUS(i % 4 == 0 ? CKIT_MISS : CKIT_OK, probe_at(l1, number_key(buffer, sizeof buffer, i), T0 + 100));
    }
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, sweeps_go_on_where_the_last_one_ended) {
    char      buffer[32];
    ckiti_l1 *l1 = open_tier(16 << 20);
    size_t    freed = 0, rounds = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_OK(put_at(l1, number_key(buffer, sizeof buffer, i), S("v"), 100, T0));
    }
    for (; freed < 1000; rounds++) {
        size_t now = ckiti_l1_sweep(l1, T0 + 100, 30, NULL, NULL);
        CHECK(now != 0 && now <= 30);
        freed += now;
    }
    CHECK_BETWEEN_U(34, 40, rounds);
    CHECK_EQ_U(0, stats_of(l1).entries);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_sweep_leaves_entries_within_their_stale_window) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 100;
    args.stale_ms = 50;
    CHECK_OK(ckiti_l1_put(l1, &args, T0));
    CHECK_EQ_U(0, ckiti_l1_sweep(l1, T0 + 149, 10, NULL, NULL));
    CHECK_EQ_U(1, ckiti_l1_sweep(l1, T0 + 150, 10, NULL, NULL));
    ckiti_l1_close(l1);
}

static bool born_before(void *context, ckit_slice key, uint64_t birth) {
    return key.len != 0 && key.ptr[0] == 'f' && birth < *(const uint64_t *)context;
}

CKIT_TEST(l1, a_sweep_frees_what_was_invalidated) {
    ckiti_l1 *l1 = open_tier(1 << 20);
    CHECK_OK(put(l1, "f(1)", "v"));
    CHECK_OK(put(l1, "g(1)", "v"));
    uint64_t floor = ckiti_l1_bump(l1);
    CHECK_OK(put(l1, "f(2)", "v"));
    CHECK_EQ_U(1, ckiti_l1_sweep(l1, T0, 10, born_before, &floor));
    CHECK_EQ_U(2, stats_of(l1).entries);
    ckiti_l1_invalidate_all(l1);
    CHECK_EQ_U(2, ckiti_l1_sweep(l1, T0, 10, NULL, NULL));
    CHECK_EQ_U(0, stats_of(l1).expired);
    ckiti_l1_close(l1);
}

/* ---- many, statistics, options --------------------------------------------------------------------------- */

CKIT_TEST(l1, get_many_answers_like_get) {
    enum { COUNT = 77 };
    static char    buffers[COUNT][32];
    static uint8_t large[1000];
    ckiti_l1_query queries[COUNT];
    ckit_value     values[COUNT];
    ckit_status    answers[COUNT];
    ckiti_l1      *l1 = open_tier(16 << 20);
    for (uint64_t i = 0; i < COUNT; i++) {
        ckit_slice key = number_key(buffers[i], sizeof buffers[i], i);
        size_t     len = i % 5 == 0 ? 900 : i;
        queries[i] = query_of(l1, key);
        ckit_value_init(&values[i]);
        describe_value(large, len, i);
        ckiti_l1_put_args args = args_of(l1, key, (ckit_slice){large, len});
        args.life_ms = i % 7 == 0 ? 10 : HOUR_MS;
        args.stale_ms = i % 14 == 0 ? 1000 : 0;
        if (i % 3 != 0) {
            CHECK_OK(ckiti_l1_put(l1, &args, T0));
        }
    }
    ckiti_l1_get_many(l1, queries, COUNT, T0 + 10, values, answers);
    for (uint64_t i = 0; i < COUNT; i++) {
        ckit_value  value = CKIT_VALUE_INIT;
        ckit_status st = ckiti_l1_get(l1, &queries[i], T0 + 10, &value);
        CHECK_STATUS(st, answers[i]);
        if (st != CKIT_MISS) {
            CHECK_BYTES(value.data, values[i].data);
            CHECK_EQ_U(value.life_ms, values[i].life_ms);
            CHECK_EQ_U(value.stale, values[i].stale);
        }
        ckit_value_fini(&value);
        ckit_value_fini(&values[i]);
    }
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, statistics_count_what_happened) {
    ckiti_l1         *l1 = open_tier(1 << 20);
    ckiti_l1_put_args args = args_of(l1, S("k"), S("v"));
    args.life_ms = 100;
    args.stale_ms = 100;
    CHECK_OK(ckiti_l1_put(l1, &args, T0));
    CHECK_OK(probe_at(l1, S("k"), T0));
    CHECK_OK(probe_at(l1, S("k"), T0));
    CHECK_STATUS(CKIT_STALE, probe_at(l1, S("k"), T0 + 150));
    CHECK_STATUS(CKIT_MISS, probe_at(l1, S("k"), T0 + 200));
    CHECK_STATUS(CKIT_MISS, probe(l1, "absent"));
    ckiti_l1_stats stats = stats_of(l1);
    CHECK_EQ_U(1, stats.entries);
    CHECK_EQ_U(1, stats.puts);
    CHECK_EQ_U(2, stats.hits);
    CHECK_EQ_U(1, stats.stale_hits);
    CHECK_EQ_U(2, stats.misses);
    CHECK_EQ_U(1 << 20, stats.max_bytes);
    CHECK_BETWEEN_U(1, 1 << 20, stats.used_bytes);
    ckiti_l1_close(l1);
}

CKIT_TEST(l1, a_budget_too_small_to_work_with_is_refused) {
    ckit_error       err = CKIT_ERROR_INIT;
    ckiti_l1        *l1 = NULL;
    ckiti_l1_options options = {.max_bytes = 65535};
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckiti_l1_open(&options, &l1, &err), &err);
    CHECK_CONTAINS("65536", err.text);
    CHECK(l1 == NULL);
    ckiti_l1_close(NULL);
}

CKIT_TEST(l1, hashes_depend_on_the_seed) {
    ckiti_l1        *a = NULL, *b = NULL, *c = NULL;
    ckiti_l1_options options = {.max_bytes = 1 << 20, .seed = 1};
    CHECK_OK(ckiti_l1_open(&options, &a, NULL));
    options.seed = 0; /* random */
    CHECK_OK(ckiti_l1_open(&options, &b, NULL));
    CHECK_OK(ckiti_l1_open(&options, &c, NULL));
    CHECK(ckiti_l1_hash(a, S("key")) != ckiti_l1_hash(b, S("key")));
    CHECK(ckiti_l1_hash(b, S("key")) != ckiti_l1_hash(c, S("key")));
    ckiti_l1_close(a);
    ckiti_l1_close(b);
    ckiti_l1_close(c);
}

CKIT_TEST(l1, two_tiers_do_not_see_each_other) {
    ckiti_l1 *tiers[40];
    char      buffer[32];
    for (uint64_t i = 0; i < 40; i++) { /* more than a thread remembers at once */
        tiers[i] = open_tier(1 << 20);
        CHECK_OK(put_at(tiers[i], number_key(buffer, sizeof buffer, i), S("v"), HOUR_MS, T0));
    }
    for (uint64_t i = 0; i < 40 * 40; i++) {
        ckit_slice key = number_key(buffer, sizeof buffer, i / 40);
        CHECK_STATUS(i % 40 == i / 40 ? CKIT_OK : CKIT_MISS, probe_at(tiers[i % 40], key, T0));
    }
    for (uint64_t i = 0; i < 40; i++) {
        CHECK_EQ_U(1, stats_of(tiers[i]).hits);
        CHECK_EQ_U(39, stats_of(tiers[i]).misses);
        ckiti_l1_close(tiers[i]);
    }
}
