/* Entries by key: encodings, lives, limits. Of store.c. */
#include "cache/cache_fixture.h"

#include <stdlib.h>

static ckit_entry_options as(ckit_encoding encoding) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = encoding;
    return options;
}

static void check_get(const char *file, int line, ckit_cache *cache, const char *key, ckit_encoding encoding,
                      ckit_source source, ckit_slice expected) {
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_entry_options options = as(encoding);
    ckit_check_status_err(file, line, "the get", CKIT_OK, ckit_cache_get(cache, S(key), &options, &value, &err), &err);
    ckit_check_bytes(file, line, "the value", expected, value.data);
    ckit_check_u(file, line, "its source", source, value.source);
    ckit_check_status(file, line, "the record", CKIT_OK, err.status);
    ckit_value_fini(&value);
}
#define CHECK_GET(source, expected, cache, key, encoding)                                                              \
    check_get(__FILE__, __LINE__, (cache), (key), (encoding), (source), (expected))

static ckit_status get(ckit_cache *cache, const char *key, ckit_encoding encoding) {
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options options = as(encoding);
    ckit_status        st = ckit_cache_get(cache, S(key), &options, &value, NULL);
    if (st != CKIT_OK) {
        CHECK(value.data.len == 0 && value.release == NULL);
    }
    ckit_value_fini(&value);
    return st;
}

static ckit_status set(ckit_cache *cache, const char *key, ckit_slice bytes, ckit_encoding encoding) {
    ckit_entry_options options = as(encoding);
    return ckit_cache_set(cache, S(key), bytes, &options, NULL);
}

/* ---- encodings --------------------------------------------------------------------------------------------------- */

CKIT_TEST(entry, every_encoding_comes_back_from_memory_and_from_the_store) {
    static const ckit_encoding encodings[] = {CKIT_BYTES, CKIT_DOCUMENT, CKIT_RAW};
    for (int i = 0; i < 3; i++) {
        fixture    f;
        ckit_slice value = encodings[i] == CKIT_DOCUMENT ? S("\x93\x01\x02\x03") : S_LITERAL("by\0tes");
        fixture_open(&f, FAKE_FULL);
        ckit_cache *other = fixture_cache(&f, FAKE_FULL);
        CHECK_OK(set(f.cache, "key", value, encodings[i]));
        CHECK_GET(CKIT_SOURCE_MEMORY, value, f.cache, "key", encodings[i]);
        CHECK_GET(CKIT_SOURCE_STORE, value, other, "key", encodings[i]);
        CHECK_GET(CKIT_SOURCE_MEMORY, value, other, "key", encodings[i]);
        ckit_cache_close(other);
        fixture_close(&f);
    }
}

CKIT_TEST(entry, raw_values_are_stored_as_they_are_and_others_in_a_frame) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "key", S("raw"), CKIT_RAW));
    CHECK_TEXT("raw", fake_only_value(f.store));
    CHECK_OK(set(f.cache, "key", S("bytes"), CKIT_BYTES));
    CHECK_BYTES(S("CK"), ckit_slice_of(fake_only_value(f.store).ptr, 2));
    fixture_close(&f);
}

CKIT_TEST(entry, an_empty_value_is_a_value) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    ckit_cache *other = fixture_cache(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "bytes", S(""), CKIT_BYTES));
    CHECK_OK(set(f.cache, "raw", S(""), CKIT_RAW));
    CHECK_GET(CKIT_SOURCE_MEMORY, S(""), f.cache, "bytes", CKIT_BYTES);
    CHECK_GET(CKIT_SOURCE_MEMORY, S(""), f.cache, "raw", CKIT_RAW);
    CHECK_GET(CKIT_SOURCE_STORE, S(""), other, "bytes", CKIT_BYTES);
    CHECK_GET(CKIT_SOURCE_STORE, S(""), other, "raw", CKIT_RAW);
    CHECK_OK(ckit_cache_exists(other, S("raw"), NULL, NULL));
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(entry, bytes_read_a_stored_text_too) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    ckit_cache *other = fixture_cache(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "key", S("\xa5hello"), CKIT_DOCUMENT));
    CHECK_GET(CKIT_SOURCE_MEMORY, S("hello"), f.cache, "key", CKIT_BYTES);
    CHECK_GET(CKIT_SOURCE_STORE, S("hello"), other, "key", CKIT_BYTES);
    CHECK_GET(CKIT_SOURCE_MEMORY, S("\xa5hello"), other, "key", CKIT_DOCUMENT);
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(entry, another_kind_of_document_is_an_error_of_type_and_stays) {
    for (int memory = 0; memory < 2; memory++) {
        fixture    f;
        ckit_error err = CKIT_ERROR_INIT;
        ckit_value value = CKIT_VALUE_INIT;
        fixture_prepare(&f);
        f.options.l1 = memory ? CKIT_ON : CKIT_OFF;
        fixture_start(&f, FAKE_FULL);
        CHECK_OK(set(f.cache, "key", S("\x93\x01\x02\x03"), CKIT_DOCUMENT));
        CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_cache_get(f.cache, S("key"), NULL, &value, &err), &err);
        CHECK_CONTAINS("CKIT_DOCUMENT", err.text);
        CHECK_OK(get(f.cache, "key", CKIT_DOCUMENT));
        fixture_close(&f);
    }
}

CKIT_TEST(entry, without_a_store_raw_and_document_are_told_apart_too) {
    fixture    f;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    CHECK_OK(set(f.cache, "raw", S("r"), CKIT_RAW));
    CHECK_OK(set(f.cache, "bytes", S("b"), CKIT_BYTES));
    CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_cache_get(f.cache, S("raw"), NULL, &value, &err), &err);
    CHECK_CONTAINS("CKIT_RAW", err.text);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, get(f.cache, "bytes", CKIT_RAW));
    CHECK_OK(get(f.cache, "raw", CKIT_RAW));
    CHECK_OK(get(f.cache, "bytes", CKIT_BYTES));
    CHECK_OK(ckit_cache_exists(f.cache, S("raw"), NULL, NULL));
    fixture_close(&f);
}

CKIT_TEST(entry, what_is_not_exactly_one_document_is_not_stored_as_one) {
    static const char *const wrong[] = {"", "\x93\x01", "\x01\x02", "\xc1", "\x81\x01"};
    fixture                  f;
    ckit_entry_options       options = as(CKIT_DOCUMENT);
    fixture_open(&f, FAKE_FULL);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_set(f.cache, S("key"), S(wrong[i]), &options, &err), &err);
    }
    CHECK_EQ_U(0, fake_count(f.store));
    fixture_close(&f);
}

CKIT_TEST(entry, one_that_is_damaged_is_removed_counted_and_a_miss) {
    fixture f;
    fixture_prepare(&f);
    f.options.l1 = CKIT_OFF;
    fixture_start(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "key", S("bytes"), CKIT_BYTES));
    fake_damage(f.store, -12);
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    CHECK_EQ_U(0, fake_count(f.store));
    CHECK_EQ_U(1, stats_of(f.cache).l2_corrupt);
    CHECK_EQ_U(0, stats_of(f.cache).l2_hits);
    CHECK_EQ_U(1, stats_of(f.cache).l2_misses);
    fixture_close(&f);
}

CKIT_TEST(entry, one_that_another_program_wrote_is_a_miss_and_stays_until_it_is_replaced) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    fake_put(f.store, S("key"), S("somebody else's"), CKIT_LIFE_NO_EXPIRY);
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    CHECK_EQ_U(1, fake_count(f.store));
    CHECK_GET(CKIT_SOURCE_STORE, S("somebody else's"), f.cache, "key", CKIT_RAW);
    CHECK_OK(set(f.cache, "key", S("bytes"), CKIT_BYTES));
    CHECK_GET(CKIT_SOURCE_MEMORY, S("bytes"), f.cache, "key", CKIT_BYTES);
    fixture_close(&f);
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(entry, keys_are_any_bytes_up_to_the_limit) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_value value = CKIT_VALUE_INIT;
    uint8_t    bytes[1025];
    fixture_open(&f, FAKE_FULL);
    memset(bytes, 0, sizeof bytes);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_set(f.cache, S(""), S("v"), NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, ckit_cache_set(f.cache, S_ARRAY(bytes), S("v"), NULL, &err), &err);
    CHECK_CONTAINS("1025", err.text);
    ckit_slice longest = ckit_slice_of(bytes, 1024), shortest = ckit_slice_of(bytes, 1);
    CHECK_OK(ckit_cache_set(f.cache, longest, S("long"), NULL, NULL));
    CHECK_OK(ckit_cache_set(f.cache, shortest, S("short"), NULL, NULL));
    CHECK_OK(ckit_cache_get(f.cache, longest, NULL, &value, NULL));
    CHECK_TEXT("long", value.data);
    ckit_value_fini(&value);
    CHECK_OK(ckit_cache_delete(f.cache, longest, NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(f.cache, longest, NULL, &value, NULL));
    CHECK_OK(ckit_cache_get(f.cache, shortest, NULL, &value, NULL));
    ckit_value_fini(&value);
    fixture_close(&f);
}

CKIT_TEST(entry, keys_longer_than_memory_takes_are_kept_apart_by_their_hash) {
    fixture        f;
    static uint8_t one[60000], two[60000];
    ckit_value     value = CKIT_VALUE_INIT;
    fixture_prepare(&f);
    f.options.max_key_bytes = 65536;
    fixture_start_memory(&f);
    two[59999] = 1;
    CHECK_OK(ckit_cache_set(f.cache, S_ARRAY(one), S("one"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(f.cache, S_ARRAY(two), NULL, &value, NULL));
    CHECK_OK(ckit_cache_set(f.cache, S_ARRAY(two), S("two"), NULL, NULL));
    CHECK_OK(ckit_cache_get(f.cache, S_ARRAY(one), NULL, &value, NULL));
    CHECK_TEXT("one", value.data);
    ckit_value_fini(&value);
    fixture_close(&f);
}

CKIT_TEST(entry, a_value_over_the_limit_is_refused_and_leaves_no_older_one) {
    for (int store = 0; store < 2; store++) {
        fixture    f;
        ckit_error err = CKIT_ERROR_INIT;
        uint8_t    large[2000];
        memset(large, 7, sizeof large);
        fixture_prepare(&f);
        f.options.max_value_bytes = 1000;
        f.options.compression_level = -1;
        if (store) {
            fixture_start(&f, FAKE_FULL);
        } else {
            fixture_start_memory(&f);
        }
        CHECK_OK(set(f.cache, "key", S("small"), CKIT_BYTES));
        CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, ckit_cache_set(f.cache, S("key"), S_ARRAY(large), NULL, &err), &err);
        CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
        CHECK_OK(set(f.cache, "key", S("small"), CKIT_RAW));
        CHECK_STATUS(CKIT_E_TOO_LARGE, set(f.cache, "key", S_ARRAY(large), CKIT_RAW));
        CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_RAW));
        CHECK_EQ_U(2, stats_of(f.cache).too_large);
        fixture_close(&f);
    }
}

CKIT_TEST(entry, wrong_options_are_misuse) {
    fixture            f;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_entry_options options = as((ckit_encoding)3);
    fixture_open(&f, FAKE_FULL);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_set(f.cache, S("k"), S("v"), &options, &err), &err);
    options = as(CKIT_BYTES);
    options.ttl_ms = CKIT_TTL_MAX_MS + 1;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_set(f.cache, S("k"), S("v"), &options, &err), &err);
    CHECK_CONTAINS("315360000001", err.text);
    options.struct_size = offsetof(ckit_entry_options, ttl_ms); /* an older program: its field is not there */
    CHECK_OK(ckit_cache_set(f.cache, S("k"), S("v"), &options, NULL));
    fixture_close(&f);
}

/* ---- lives ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(entry, the_life_of_an_entry_ends_in_both_tiers_at_once) {
    fixture            f;
    ckit_entry_options options = as(CKIT_BYTES);
    uint64_t           life_ms;
    fixture_open(&f, FAKE_FULL);
    options.ttl_ms = 1000;
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("v"), &options, NULL));
    CHECK_OK(ckit_cache_ttl(f.cache, S("key"), NULL, &life_ms, NULL));
    CHECK_EQ_U(1000, life_ms);
    fake_clock_advance(&f.time, 999);
    CHECK_GET(CKIT_SOURCE_MEMORY, S("v"), f.cache, "key", CKIT_BYTES);
    CHECK_OK(ckit_cache_exists(f.cache, S("key"), NULL, NULL));
    fake_clock_advance(&f.time, 1);
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    CHECK_STATUS(CKIT_MISS, ckit_cache_exists(f.cache, S("key"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_ttl(f.cache, S("key"), NULL, &life_ms, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_touch(f.cache, S("key"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_delete(f.cache, S("key"), NULL, NULL));
    fixture_close(&f);
}

CKIT_TEST(entry, no_expiry_default_and_do_not_store_mean_what_they_say) {
    fixture            f;
    ckit_entry_options options = as(CKIT_BYTES);
    uint64_t           life_ms;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(ckit_cache_set(f.cache, S("default"), S("v"), NULL, NULL));
    CHECK_OK(ckit_cache_ttl(f.cache, S("default"), NULL, &life_ms, NULL));
    CHECK_EQ_U(3600000, life_ms);
    options.ttl_ms = CKIT_TTL_NO_EXPIRY;
    CHECK_OK(ckit_cache_set(f.cache, S("for ever"), S("v"), &options, NULL));
    CHECK_OK(ckit_cache_ttl(f.cache, S("for ever"), NULL, &life_ms, NULL));
    CHECK_EQ_U(CKIT_LIFE_NO_EXPIRY, life_ms);
    options.ttl_ms = CKIT_TTL_DO_NOT_STORE;
    CHECK_OK(ckit_cache_set(f.cache, S("never"), S("v"), &options, NULL));
    CHECK_STATUS(CKIT_MISS, get(f.cache, "never", CKIT_BYTES));
    CHECK_EQ_U(2, fake_count(f.store));
    fixture_close(&f);
}

CKIT_TEST(entry, ttl_asks_memory_where_the_store_cannot_tell) {
    fixture  f;
    uint64_t life_ms = 1;
    fixture_open(&f, FAKE_REQUIRED);
    CHECK_OK(set(f.cache, "key", S("v"), CKIT_BYTES));
    CHECK_OK(ckit_cache_ttl(f.cache, S("key"), NULL, &life_ms, NULL));
    CHECK_EQ_U(3600000, life_ms);
    fake_put(f.store, S("other"), S("v"), 1000);
    CHECK_OK(ckit_cache_ttl(f.cache, S("other"), NULL, &life_ms, NULL));
    CHECK_EQ_U(CKIT_LIFE_UNKNOWN, life_ms);
    CHECK_STATUS(CKIT_MISS, ckit_cache_ttl(f.cache, S("none"), NULL, &life_ms, NULL));
    fixture_close(&f);
}

CKIT_TEST(entry, touch_gives_a_new_life_in_both_tiers) {
    for (int store = 0; store < 2; store++) {
        fixture            f;
        ckit_entry_options options = as(CKIT_BYTES);
        uint64_t           life_ms;
        fixture_prepare(&f);
        if (store) {
            fixture_start(&f, FAKE_FULL);
        } else {
            fixture_start_memory(&f);
        }
        CHECK_OK(set(f.cache, "key", S("v"), CKIT_BYTES));
        options.ttl_ms = 500;
        CHECK_OK(ckit_cache_touch(f.cache, S("key"), &options, NULL));
        CHECK_OK(ckit_cache_ttl(f.cache, S("key"), NULL, &life_ms, NULL));
        CHECK_EQ_U(500, life_ms);
        fake_clock_advance(&f.time, 499);
        CHECK_OK(get(f.cache, "key", CKIT_BYTES));
        options.ttl_ms = 0; /* the default */
        CHECK_OK(ckit_cache_touch(f.cache, S("key"), &options, NULL));
        fake_clock_advance(&f.time, 3599999);
        CHECK_OK(get(f.cache, "key", CKIT_BYTES));
        options.ttl_ms = CKIT_TTL_DO_NOT_STORE;
        CHECK_OK(ckit_cache_touch(f.cache, S("key"), &options, NULL));
        CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
        fixture_close(&f);
    }
}

CKIT_TEST(entry, touch_is_unsupported_where_the_store_cannot) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_REQUIRED);
    CHECK_OK(set(f.cache, "key", S("v"), CKIT_BYTES));
    CHECK_STATUS_ERR(CKIT_E_UNSUPPORTED, ckit_cache_touch(f.cache, S("key"), NULL, &err), &err);
    fixture_close(&f);
}

CKIT_TEST(entry, delete_tells_whether_there_was_one_in_either_tier) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    fake_fail(f.store, FAKE_SET, CKIT_E_IO, 1);
    CHECK_STATUS(CKIT_E_IO, set(f.cache, "memory", S("v"), CKIT_BYTES));
    CHECK_OK(ckit_cache_delete(f.cache, S("memory"), NULL, NULL));
    fake_put(f.store, S("store"), S("v"), 1000);
    CHECK_OK(ckit_cache_delete(f.cache, S("store"), NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_delete(f.cache, S("store"), NULL, NULL));
    fixture_close(&f);
}

CKIT_TEST(entry, namespaces_share_keys_in_the_store_and_are_invalidated_apart) {
    fixture            f;
    ckit_entry_options a = as(CKIT_BYTES), b = as(CKIT_BYTES);
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_scope         scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("a")};
    fixture_open(&f, FAKE_FULL);
    a.namespace_name = "a";
    b.namespace_name = "b";
    CHECK_OK(ckit_cache_set(f.cache, S("in a"), S("1"), &a, NULL));
    CHECK_STR("a", fake_last_namespace(f.store));
    CHECK_OK(ckit_cache_set(f.cache, S("in b"), S("2"), &b, NULL));
    CHECK_OK(ckit_cache_invalidate(f.cache, &scope, NULL, NULL));
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(f.cache, S("in a"), &a, &value, NULL));
    CHECK_OK(ckit_cache_get(f.cache, S("in b"), &b, &value, NULL));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    ckit_value_fini(&value);
    fixture_close(&f);
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(entry, failures_of_the_store_come_back_and_are_counted) {
    fixture    f;
    uint64_t   life_ms;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_value value = CKIT_VALUE_INIT;
    fixture_open(&f, FAKE_FULL);
    for (int op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(f.store, (fake_op)op, CKIT_E_TIMEOUT, UINT64_MAX);
    }
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_get(f.cache, S("key"), NULL, &value, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_exists(f.cache, S("key"), NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_ttl(f.cache, S("key"), NULL, &life_ms, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_touch(f.cache, S("key"), NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_delete(f.cache, S("key"), NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, ckit_cache_set(f.cache, S("key"), S("v"), NULL, &err), &err);
    CHECK_EQ_U(6, stats_of(f.cache).l2_errors);
    CHECK_EQ_U(0, stats_of(f.cache).l2_misses);
    CHECK_GET(CKIT_SOURCE_MEMORY, S("v"), f.cache, "key", CKIT_BYTES); /* memory serves this process */
    fixture_close(&f);
}

CKIT_TEST(entry, the_call_s_own_timeout_reaches_the_store) {
    fixture            f;
    ckit_entry_options options = as(CKIT_BYTES);
    fixture_open(&f, FAKE_FULL);
    options.timeout_ms = 77;
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("v"), &options, NULL));
    CHECK_EQ_U(FAKE_CLOCK_START_MS + 77, fake_last_deadline(f.store, FAKE_SET));
    fixture_close(&f);
}

/* ---- what a store, a namespace or a caller may do ---------------------------------------------------------------- */

CKIT_TEST(entry, a_value_too_large_for_the_store_leaves_nothing_behind) {
    fixture f;
    fixture_open(&f, FAKE_FULL);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK(set(f.cache, "key", S("old"), CKIT_BYTES));
    fake_fail(f.store, FAKE_SET, CKIT_E_TOO_LARGE, 1);
    CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, ckit_cache_set(f.cache, S("key"), S("new"), NULL, &err), &err);
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    CHECK_EQ_U(0, fake_count(f.store));
    CHECK_EQ_U(1, stats_of(f.cache).too_large);
    CHECK_EQ_U(0, stats_of(f.cache).l2_errors);
    fixture_close(&f);
}

CKIT_TEST(entry, a_result_too_large_for_the_store_is_given_and_not_kept) {
    stage s;
    stage_open(&s, FAKE_FULL, NULL);
    for (uint64_t run = 1; run <= 2; run++) {
        ckit_value value = CKIT_VALUE_INIT;
        fake_fail(s.f.store, FAKE_SET, CKIT_E_TOO_LARGE, 1);
        CHECK_OK(ckit_call(s.fn, NULL, &value, NULL));
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, value.source);
        CHECK_EQ_U(run, s.l.runs);
        ckit_value_fini(&value);
    }
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_EQ_U(2, stats_of(s.f.cache).too_large);
    CHECK_EQ_U(0, stats_of(s.f.cache).l2_errors);
    stage_close(&s);
}

CKIT_TEST(entry, what_was_read_without_its_namespace_is_forgotten_with_the_entry) {
    fixture            f;
    ckit_entry_options users = CKIT_ENTRY_OPTIONS_INIT;
    users.namespace_name = "users";
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("alice"), &users, NULL));
    CHECK_GET(CKIT_SOURCE_STORE, S("alice"), f.cache, "key", CKIT_BYTES);
    CHECK_GET(CKIT_SOURCE_MEMORY, S("alice"), f.cache, "key", CKIT_BYTES);
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("bob"), &users, NULL));
    CHECK_GET(CKIT_SOURCE_STORE, S("bob"), f.cache, "key", CKIT_BYTES);
    CHECK_OK(ckit_cache_delete(f.cache, S("key"), &users, NULL));
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    fixture_close(&f);
}

CKIT_TEST(entry, a_value_that_is_not_to_be_stored_supersedes_the_old_one) {
    fixture            f;
    ckit_entry_options never = CKIT_ENTRY_OPTIONS_INIT;
    never.ttl_ms = CKIT_TTL_DO_NOT_STORE;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "key", S("old"), CKIT_BYTES));
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("new"), &never, NULL));
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    CHECK_OK(ckit_cache_set(f.cache, S("key"), S("new"), &never, NULL));
    fixture_close(&f);
}

CKIT_TEST(entry, a_value_that_memory_alone_cannot_hold_is_refused) {
    fixture f;
    fixture_prepare(&f);
    f.options.l1_max_bytes = 1 << 20;
    fixture_start_memory(&f);
    uint8_t *large = calloc(1, 2 << 20);
    CHECK_OK(set(f.cache, "key", S("old"), CKIT_BYTES));
    CHECK_STATUS(CKIT_E_TOO_LARGE, set(f.cache, "key", ckit_slice_of(large, 2 << 20), CKIT_BYTES));
    CHECK_STATUS(CKIT_MISS, get(f.cache, "key", CKIT_BYTES));
    free(large);
    fixture_close(&f);
}

CKIT_TEST(entry, a_value_in_use_is_given_back_before_it_is_filled_again) {
    fixture    f;
    uint8_t    large[1000] = {7};
    ckit_value value = CKIT_VALUE_INIT;
    fixture_open(&f, FAKE_FULL);
    CHECK_OK(set(f.cache, "key", ckit_slice_of(large, sizeof large), CKIT_BYTES));
    for (int i = 0; i < 3; i++) { /* what is not given back is a leak */
        CHECK_OK(ckit_cache_get(f.cache, S("key"), NULL, &value, NULL));
        CHECK_BYTES(ckit_slice_of(large, sizeof large), value.data);
    }
    ckit_value_fini(&value);
    fixture_close(&f);
}

CKIT_TEST(entry, options_without_their_size_are_refused_and_say_how_to_begin) {
    fixture               f;
    ckit_entry_options    entry_options = {.ttl_ms = 5000};
    ckit_function_options function_options = {.ttl_ms = 5000};
    ckit_function        *fn = NULL;
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    fixture_open(&f, FAKE_FULL);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_cache_get(f.cache, S("key"), &entry_options, &value, &err), &err);
    CHECK_CONTAINS("CKIT_ENTRY_OPTIONS_INIT", err.text);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_function_new(f.cache, "f", NULL, NULL, &function_options, &fn, &err), &err);
    CHECK_CONTAINS("CKIT_FUNCTION_OPTIONS_INIT", err.text);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_cache_get(NULL, S("key"), NULL, &value, &err));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_cache_new(NULL, NULL, NULL, &err));
    fixture_close(&f);
}
