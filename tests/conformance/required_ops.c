/* What every store must do: values, keys, lifetimes, answers, deadlines, health. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- values ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(values, a_missing_key_is_a_miss_and_leaves_buffer_and_record_alone) {
    suite s;
    suite_begin(&s);
    ckit_buf   out = CKIT_BUF_INIT;
    uint64_t   life_ms = 0;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK(ckit_buf_append(&out, S("before")));
    CHECK_STATUS(CKIT_MISS, s.ops->get(s.self, S("absent"), CKIT_NO_DEADLINE, &out, &life_ms, &err));
    CHECK_TEXT("before", ckit_buf_slice(&out));
    CHECK_STATUS(CKIT_OK, err.status);
    CHECK_STATUS(CKIT_MISS, s.ops->exists(s.self, S("absent"), CKIT_NO_DEADLINE, &err));
    CHECK_STATUS(CKIT_MISS, s.ops->remove(s.self, S("absent"), CKIT_NO_DEADLINE, &err));
    CHECK_STATUS(CKIT_OK, err.status);
    ckit_buf_fini(&out);
    suite_end(&s);
}

CKIT_TEST(values, bytes_come_back_as_they_went) {
    uint8_t all[256], zeros[300] = {0};
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    const ckit_slice rows[] = {S("x"),       S_LITERAL("\0"), S_ARRAY(zeros), S_LITERAL("\xff\xfe\xc0\x80 no UTF-8"),
                               S_ARRAY(all), S("CK\1"),       S("\n\r\t")};
    suite            s;
    suite_begin(&s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_OK(suite_set(&s, S("k"), rows[i], 60000));
        suite_expect(&s, S("k"), rows[i]);
    }
    suite_end(&s);
}

CKIT_TEST(values, an_empty_value_is_a_value) {
    suite s;
    suite_begin(&s);
    suite_expect_miss(&s, S("k"));
    CHECK_OK(suite_set(&s, S("k"), (ckit_slice){NULL, 0}, 60000));
    suite_expect(&s, S("k"), (ckit_slice){NULL, 0});
    CHECK_OK(suite_remove(&s, S("k")));
    suite_expect_miss(&s, S("k"));
    suite_end(&s);
}

CKIT_TEST(values, a_get_appends) {
    suite    s;
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("tail"), 60000));
    CHECK_OK(ckit_buf_append(&out, S("head-")));
    CHECK_OK(suite_get(&s, S("k"), &out, &life_ms));
    CHECK_TEXT("head-tail", ckit_buf_slice(&out));
    ckit_buf_fini(&out);
    suite_end(&s);
}

static ckit_slice pattern(uint8_t *bytes, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 31u + seed + (i >> 8));
    }
    return (ckit_slice){bytes, len};
}

CKIT_TEST(values, sizes_of_many_powers_come_back) {
    suite    s;
    uint8_t *bytes = malloc((1u << 20) + 1);
    CHECK(bytes != NULL);
    suite_begin(&s);
    for (unsigned bits = 1; bits <= 18; bits++) {
        for (int more = -1; more <= 1; more++) {
            ckit_slice value = pattern(bytes, (size_t)((1 << bits) + more), bits);
            CHECK_OK(suite_set(&s, S("k"), value, 60000));
            suite_expect(&s, S("k"), value);
        }
    }
    free(bytes);
    suite_end(&s);
}

CKIT_TEST(values, the_largest_value_fits_and_one_byte_more_is_a_permanent_error) {
    size_t largest = suite_the_subject.max_value_bytes;
    suite  s;
    suite_begin(&s);
    if (largest == 0) {
        suite_end(&s);
        SKIP("%s names no largest value", suite_the_subject.name);
    }
    uint8_t *bytes = malloc(largest + 1);
    CHECK(bytes != NULL);
    CHECK_OK(suite_set(&s, S("k"), pattern(bytes, largest, 1), 60000));
    suite_expect(&s, S("k"), (ckit_slice){bytes, largest});
    ckit_status st = suite_set(&s, S("k"), pattern(bytes, largest + 1, 2), 60000);
    CHECK_EQ_I(CKIT_KIND_PERMANENT, ckit_status_kind(st));
    suite_expect(&s, S("k"), pattern(bytes, largest, 1));
    free(bytes);
    suite_end(&s);
}

CKIT_TEST(values, an_overwrite_shortens_and_lengthens) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("middle"), 60000));
    CHECK_OK(suite_set(&s, S("k"), S("s"), 60000));
    suite_expect(&s, S("k"), S("s"));
    CHECK_OK(suite_set(&s, S("k"), S("longer than before"), 60000));
    suite_expect(&s, S("k"), S("longer than before"));
    suite_end(&s);
}

CKIT_TEST(values, a_second_removal_finds_nothing) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("v"), 60000));
    CHECK_OK(suite_remove(&s, S("k")));
    CHECK_STATUS(CKIT_MISS, suite_remove(&s, S("k")));
    suite_expect_miss(&s, S("k"));
    suite_end(&s);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(keys, keys_that_look_alike_are_different) {
    static const char *const keys[] = {
        "a",        "A",    "a ",       " a",        "a/b",   "a:b",       "a%2Fb",
        "a%b",      "..",   "../a",     ".",         "/",     "a?b=c",     "a#b",
        "a\nb",     "a\\b", "\xc3\xa9", "e\xcc\x81", "a.tmp", ".ck-usage", "ns:app:func:m.f:args:abc:v1",
        "\xff\xfe", "a*b",  "~"};
    suite s;
    suite_begin(&s);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        CHECK_OK(suite_set(&s, S(keys[i]), S(keys[i]), 60000));
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        suite_expect(&s, S(keys[i]), S(keys[i]));
    }
    suite_end(&s);
}

CKIT_TEST(keys, a_zero_byte_is_a_byte) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S_LITERAL("a\0b"), S("1"), 60000));
    CHECK_OK(suite_set(&s, S_LITERAL("a\0c"), S("2"), 60000));
    CHECK_OK(suite_set(&s, S_LITERAL("a"), S("3"), 60000));
    suite_expect(&s, S_LITERAL("a\0b"), S("1"));
    suite_expect(&s, S_LITERAL("a\0c"), S("2"));
    suite_expect(&s, S_LITERAL("a"), S("3"));
    suite_end(&s);
}

CKIT_TEST(keys, every_length_works_or_is_a_permanent_error) {
    static const size_t lengths[] = {1, 2, 249, 250, 251, 255, 256, 1024, 4095, 4096, 4097, 65535, 65536};
    uint8_t            *key = malloc(65537);
    CHECK(key != NULL);
    memset(key, 'k', 65537);
    suite s;
    suite_begin(&s);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ckit_slice  slice = {key, lengths[i]};
        ckit_status st = suite_set(&s, slice, S("v"), 60000);
        if (st == CKIT_OK) {
            suite_expect(&s, slice, S("v"));
        } else {
            CHECKF(ckit_status_kind(st) == CKIT_KIND_PERMANENT, "%zu bytes: %s", lengths[i], ckit_status_name(st));
        }
    }
    CHECK(suite_set(&s, (ckit_slice){key, 65537}, S("v"), 60000) >= CKIT_E_FIRST);
    free(key);
    suite_end(&s);
}

/* ---- lifetimes --------------------------------------------------------------------------------------------------- */

CKIT_TEST(lifetimes, an_entry_lives_as_long_as_asked_and_at_most_the_stores_granularity_longer) {
    static const uint64_t ttls[] = {1, 999, 1000, 1001, 60000, 3600000};
    suite                 s;
    suite_begin(&s);
    for (size_t i = 0; i < sizeof ttls / sizeof ttls[0]; i++) {
        CHECK_OK(suite_set(&s, S("k"), S("v"), ttls[i]));
        fake_clock_advance(&s.time, ttls[i] - 1);
        suite_expect(&s, S("k"), S("v"));
        fake_clock_advance(&s.time, 1 + suite_the_subject.granularity_ms);
        suite_expect_miss(&s, S("k"));
    }
    suite_end(&s);
}

CKIT_TEST(lifetimes, get_tells_the_remaining_life) {
    suite    s;
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("v"), 10000));
    fake_clock_advance(&s.time, 4000);
    CHECK_OK(suite_get(&s, S("k"), &out, &life_ms));
    if (life_ms != CKIT_LIFE_UNKNOWN) {
        CHECK_BETWEEN_U(6000, 6000 + suite_the_subject.granularity_ms, life_ms);
    }
    CHECK_OK(suite_set(&s, S("k"), S("v"), CKIT_TTL_NO_EXPIRY));
    CHECK_OK(suite_get(&s, S("k"), &out, &life_ms));
    CHECK(life_ms == CKIT_LIFE_NO_EXPIRY || life_ms == CKIT_LIFE_UNKNOWN);
    ckit_buf_fini(&out);
    suite_end(&s);
}

CKIT_TEST(lifetimes, an_entry_without_expiry_outlives_ten_years) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("eternal"), S("v"), CKIT_TTL_NO_EXPIRY));
    CHECK_OK(suite_set(&s, S("longest"), S("v"), CKIT_TTL_MAX_MS));
    fake_clock_advance(&s.time, CKIT_TTL_MAX_MS + suite_the_subject.granularity_ms);
    suite_expect(&s, S("eternal"), S("v"));
    suite_expect_miss(&s, S("longest"));
    suite_end(&s);
}

CKIT_TEST(lifetimes, an_overwrite_begins_a_new_lifetime) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("1"), 5000));
    fake_clock_advance(&s.time, 4000);
    CHECK_OK(suite_set(&s, S("k"), S("2"), 5000));
    fake_clock_advance(&s.time, 4000);
    suite_expect(&s, S("k"), S("2"));
    CHECK_OK(suite_set(&s, S("k"), S("3"), 1000));
    suite_outlive(&s, 1000);
    suite_expect_miss(&s, S("k"));
    CHECK_OK(suite_set(&s, S("k"), S("4"), CKIT_TTL_NO_EXPIRY));
    suite_outlive(&s, 3600000);
    suite_expect(&s, S("k"), S("4"));
    suite_end(&s);
}

CKIT_TEST(lifetimes, an_expired_key_can_be_stored_again) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("old"), 1000));
    suite_outlive(&s, 1000);
    CHECK_OK(suite_set(&s, S("k"), S("new"), 1000));
    suite_expect(&s, S("k"), S("new"));
    suite_end(&s);
}

/* ---- deadlines, errors, health ----------------------------------------------------------------------------------- */

CKIT_TEST(deadlines, a_passed_deadline_is_a_timeout_or_an_answer_never_a_wait) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("v"), 60000));
    uint64_t        past = fake_clock_now(&s.time) - 1;
    ckit_entry_info info = {.ttl_ms = 1000};
    ckit_buf        out = CKIT_BUF_INIT;
    uint64_t        life_ms = 0;
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_status     answers[] = {s.ops->get(s.self, S("k"), past, &out, &life_ms, &err),
                                 s.ops->set(s.self, S("k2"), S("v"), &info, past, &err),
                                 s.ops->exists(s.self, S("k"), past, &err), s.ops->remove(s.self, S("k"), past, &err)};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        CHECKF(answers[i] == CKIT_OK || ckit_status_kind(answers[i]) == CKIT_KIND_TIMEOUT, "operation %zu: %s", i,
               ckit_status_name(answers[i]));
    }
    ckit_buf_fini(&out);
    suite_end(&s);
}

CKIT_TEST(errors, a_refusal_does_not_repeat_key_or_value) {
    suite    s;
    size_t   len = suite_the_subject.max_value_bytes + 1;
    uint8_t *value = malloc(len + 65);
    CHECK(value != NULL);
    memset(value, 'S', len + 65);
    suite_begin(&s);
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = {.ttl_ms = 1000};
    if (suite_the_subject.max_value_bytes > 0) {
        CHECK(s.ops->set(s.self, S("a-key-that-nobody-should-read-in-a-log"), (ckit_slice){value, len}, &info,
                         CKIT_NO_DEADLINE, &err) >= CKIT_E_FIRST);
        CHECK(strstr(err.text, "a-key-that") == NULL);
        CHECK(strstr(err.text, "SSSS") == NULL);
    }
    free(value);
    suite_end(&s);
}

CKIT_TEST(errors, a_failure_without_a_record_is_fine) {
    suite           s;
    ckit_entry_info info = {.ttl_ms = 1000};
    uint8_t        *key = calloc(1, 70000);
    CHECK(key != NULL);
    suite_begin(&s);
    CHECK(s.ops->set(s.self, (ckit_slice){key, 70000}, S("v"), &info, CKIT_NO_DEADLINE, NULL) >= CKIT_E_FIRST);
    free(key);
    suite_end(&s);
}

CKIT_TEST(health, a_working_store_is_healthy_and_says_what_it_is) {
    suite s;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("k"), S("v"), 60000));
    ckit_health health;
    memset(&health, 0xee, sizeof health);
    s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
    CHECK(health.healthy);
    CHECK(health.latency_ms >= 0.0);
    CHECK(memchr(health.backend_type, 0, sizeof health.backend_type) != NULL);
    CHECK_STR(s.ops->name, health.backend_type);
    CHECK(memchr(health.detail, 0, sizeof health.detail) != NULL);
    CHECK(health.entries == UINT64_MAX || health.entries == 1);
    CHECK(health.bytes == UINT64_MAX || health.bytes >= 1);
    suite_end(&s);
}

CKIT_TEST(health, a_check_touches_nobodys_entry) {
    suite       s;
    ckit_health health;
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("__health_check__"), S("mine"), 60000));
    s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
    suite_expect(&s, S("__health_check__"), S("mine"));
    suite_end(&s);
}

CKIT_TEST(opening, a_store_that_was_never_used_closes) {
    suite s;
    suite_begin(&s);
    suite_end(&s);
}
