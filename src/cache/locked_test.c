/* A cache without a key over a store in which somebody else seals: what it computes instead, and that it leaves the
 * store as it is. */
#include "cache/cache_fixture.h"
#include "cache/sealing.h"

#include <cachekit/seal.h>

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* `f.cache` has no key. */
typedef struct scene {
    fixture        f;
    loader         l;
    ckit_function *fn;
    ckit_keyring  *ring;
    ckit_cache    *sealing;
    ckit_function *sealed;
} scene;

static ckit_function_options for_a_minute(uint64_t stale_ms) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 60000;
    options.stale_ms = stale_ms;
    return options;
}

static void open_sealing(scene *s, const ckit_function_options *options) {
    ckit_keyring_options keys = CKIT_KEYRING_OPTIONS_INIT;
    ckit_cache_options   sealing = s->f.options;
    keys.master_key_hex = KEY;
    CHECK_OK(ckit_keyring_open(&keys, &s->ring, NULL));
    sealing.keyring = s->ring;
    sealing.encryption = CKIT_ON;
    CHECK_OK(ckit_cache_new(&sealing, fake_connect(s->f.store, FAKE_LOCKING), &s->sealing, NULL));
    s->sealed = function_of(s->sealing, "test.load", &s->l, options);
}

static void scene_open(scene *s, ckit_switch fail_closed, uint64_t stale_ms) {
    const ckit_function_options options = for_a_minute(stale_ms);
    fixture_prepare(&s->f);
    s->f.options.fail_closed = fail_closed;
    fixture_start(&s->f, FAKE_LOCKING);
    loader_init(&s->l);
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
    open_sealing(s, &options);
    s->l.result = 1;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->sealed, 7);
    s->l.result = 2;
}

static void scene_close(scene *s) {
    ckit_function_close(s->sealed);
    ckit_cache_close(s->sealing);
    ckit_keyring_close(s->ring);
    ckit_function_close(s->fn);
    fixture_close(&s->f);
}

static ckit_buf copy_of(ckit_slice bytes) {
    ckit_buf copy = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&copy, bytes));
    return copy;
}

/* Looks at nothing but the store. */
static void check_still_sealed(scene *s) {
    ckit_cache           *fresh;
    ckit_function_options options = for_a_minute(0);
    ckit_cache_options    with_key = s->f.options;
    with_key.keyring = s->ring;
    CHECK_OK(ckit_cache_new(&with_key, fake_connect(s->f.store, FAKE_LOCKING), &fresh, NULL));
    ckit_function *fn = function_of(fresh, "test.load", &s->l, &options);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    ckit_function_close(fn);
    ckit_cache_close(fresh);
}

CKIT_TEST(locked, the_result_is_given_and_kept_in_memory_alone_and_the_sealed_entry_stays) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    ckit_buf before = copy_of(fake_only_value(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).sealed_without_key);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_corrupt);
    check_still_sealed(&s);
    ckit_buf_fini(&before);
    scene_close(&s);
}

CKIT_TEST(locked, it_is_told_once_with_what_to_do) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.sealed, 8);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(1, s.f.log.lines);
    CHECK_CONTAINS("computed instead is kept in memory alone. Set CACHEKIT_MASTER_KEY", s.f.log.text);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 8);
    CHECK_EQ_U(1, s.f.log.lines);
    CHECK_EQ_U(2, stats_of(s.f.cache).sealed_without_key);
    scene_close(&s);
}

CKIT_TEST(locked, a_refresh_of_such_a_value_writes_nothing_either) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    ckit_buf before = copy_of(fake_only_value(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    s.l.result = 3;
    CHECK_EQ_U(3, refresh(s.fn, 7).number);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 3, s.fn, 7);
    CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
    ckit_buf_fini(&before);
    scene_close(&s);
}

CKIT_TEST(locked, a_sealed_copy_for_later_is_left_as_it_is_as_well) {
    scene s;
    scene_open(&s, CKIT_OFF, 120000);
    fake_clock_advance(&s.f.time, 61000); /* the entry has ended, its stale copy has not */
    ckit_buf before = copy_of(fake_only_value(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
    ckit_buf_fini(&before);
    scene_close(&s);
}

CKIT_TEST(locked, when_the_sealed_entry_has_ended_results_are_stored_again) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    fake_clock_advance(&s.f.time, 61000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_writes);
    CHECK_EQ_U(1, stats_of(s.f.cache).sealed_without_key);
    scene_close(&s);
}

CKIT_TEST(locked, failing_closed_it_is_the_callers_to_see_and_the_function_does_not_run) {
    scene s;
    scene_open(&s, CKIT_ON, 0);
    for (int i = 0; i < 2; i++) {
        answer a = call(s.fn, 7);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.status);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.error.status);
        CHECK_CONTAINS("no key here: set CACHEKIT_MASTER_KEY as", a.error.text);
    }
    CHECK_CONTAINS("calls for it fail, because fail_closed is on", s.f.log.text);
    CHECK(strstr(s.f.log.text, "computed instead") == NULL);
    CHECK_EQ_U(1, s.l.runs);
    CHECK(!fake_is_locked(s.f.store));
    check_still_sealed(&s);
    scene_close(&s);
}

/* Has met that many sealed values under other keys. */
static void meet_others(scene *s, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        (void)ckiti_locked_met(s->f.cache, ckit_slice_of(&i, sizeof i), NULL);
    }
}

CKIT_TEST(locked, each_that_was_met_is_remembered_or_known_to_be_forgotten) {
    static const uint64_t counts[] = {4000, 80000};
    for (size_t c = 0; c < 2; c++) {
        scene    s;
        uint64_t forgotten = 0;
        scene_open(&s, CKIT_OFF, 0);
        meet_others(&s, counts[c]);
        for (uint64_t i = 0; i < counts[c]; i++) {
            const ckit_slice key = ckit_slice_of(&i, sizeof i);
            const bool       is_forgotten = !ckiti_is_locked(s.f.cache, key);
            CHECK(!is_forgotten || ckiti_locked_forgets(s.f.cache, key));
            forgotten += is_forgotten;
        }
        CHECK((forgotten > 0) == (c == 1)); /* more than there is room for */
        scene_close(&s);
    }
}

CKIT_TEST(locked, those_that_are_forgotten_stay_as_they_are) {
    enum { MANY = 100 };
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    meet_others(&s, 200000); /* nearly every place is taken */
    for (int64_t i = 0; i < MANY; i++) {
        s.l.result = 1;
        (void)call(s.sealed, i);
        s.l.result = 2;
        CHECK_EQ_U(2, call(s.fn, i).number);
    }
    for (int64_t i = 0; i < MANY; i++) {
        CHECK_EQ_U(2, refresh(s.fn, i).number);
    }
    CHECK_EQ_U(200000 + MANY, stats_of(s.f.cache).sealed_without_key);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_writes);
    scene_close(&s);
}

CKIT_TEST(locked, thousands_of_them_cost_a_refresh_of_another_value_no_read) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    meet_others(&s, 10000);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 8);
    const uint64_t reads = fake_calls(s.f.store, FAKE_GET);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_U(2, refresh(s.fn, 8).number);
    }
    CHECK_EQ_U(reads, fake_calls(s.f.store, FAKE_GET));
    scene_close(&s);
}

CKIT_TEST(locked, calls_of_a_batch_leave_them_too) {
    scene s;
    scene_open(&s, CKIT_OFF, 0);
    ckit_buf         before = copy_of(fake_only_value(s.f.store));
    ckit_args        args;
    ckit_args *const calls[] = {&args};
    ckit_value       value = CKIT_VALUE_INIT;
    ckit_status      status = CKIT_E_MISUSE;
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    CHECK_OK(ckit_call_many(s.fn, calls, 1, NULL, NULL, &value, &status, NULL));
    CHECK_OK(status);
    CHECK_EQ_U(2, read_number(&value));
    CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    ckit_buf_fini(&before);
    scene_close(&s);
}

CKIT_TEST(locked, an_entry_by_its_key_is_a_miss_or_the_callers_to_see) {
    for (int closed = 0; closed < 2; closed++) {
        scene s;
        scene_open(&s, closed ? CKIT_ON : CKIT_OFF, 0);
        ckit_buf           key = key_of(s.fn, 7), before = copy_of(fake_only_value(s.f.store));
        ckit_value         value = CKIT_VALUE_INIT;
        ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
        options.encoding = CKIT_DOCUMENT;
        CHECK_STATUS(closed ? CKIT_E_AUTH_TAG : CKIT_MISS,
                     ckit_cache_get(s.f.cache, ckit_buf_slice(&key), &options, &value, NULL));
        CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
        CHECK_EQ_U(1, stats_of(s.f.cache).sealed_without_key);
        ckit_buf_fini(&before);
        ckit_buf_fini(&key);
        scene_close(&s);
    }
}

/* A binding reads the store's bytes itself, and hands back what it cannot read. */
CKIT_TEST(locked, a_raw_function_that_rejects_a_sealed_value_leaves_it) {
    scene                 s;
    ckit_op              *op = NULL;
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.raw = true;
    scene_open(&s, CKIT_OFF, 0);
    ckit_buf       before = copy_of(fake_only_value(s.f.store));
    ckit_function *raw = function_of(s.f.cache, "test.load", NULL, &options);
    ckit_start     start = {.function = raw};
    CHECK_OK(begin_with(start, 7, &op, &value));
    CHECK_BYTES(ckit_buf_slice(&before), value.data);
    ckit_value_fini(&value);
    start.rejected = ckit_buf_slice(&before);
    CHECK_STATUS(CKIT_COMPUTE, begin_with(start, 7, &op, &value));
    ckit_result result = {.struct_size = sizeof result, .document = S("mine")};
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    ckit_op_free(op);
    CHECK_BYTES(S("mine"), value.data);
    CHECK_BYTES(ckit_buf_slice(&before), fake_only_value(s.f.store));
    ckit_value_fini(&value);
    ckit_function_close(raw);
    ckit_buf_fini(&before);
    scene_close(&s);
}

CKIT_TEST_MAIN()
