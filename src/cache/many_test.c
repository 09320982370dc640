/* Many entries at once: memory, one batched read of the store, and keys that fail for themselves. Of entry_many.c. */
#include "cache/cache_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static ckit_status set(ckit_cache *cache, const char *key, ckit_slice bytes) {
    return ckit_cache_set(cache, S(key), bytes, NULL, NULL);
}

enum { KEYS = 100 };

/* Every fourth key: in memory, in the store only, nowhere, damaged in the store. */
typedef struct scene {
    fixture     f;
    ckit_cache *other;
    ckit_slice  keys[KEYS];
    char        names[KEYS][8];
    ckit_value *out;
    ckit_status answers[KEYS];
} scene;

static void scene_open(scene *s, fake_kind kind) {
    fixture_open(&s->f, kind);
    s->other = fixture_cache(&s->f, kind);
    s->out = calloc(KEYS, sizeof *s->out);
    CHECK(s->out != NULL);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(s->names[i], sizeof s->names[i], "key%d", i);
        s->keys[i] = S(s->names[i]);
    }
    for (int i = 3; i < KEYS; i += 4) {
        CHECK_OK(set(s->other, s->names[i], s->keys[i]));
    }
    fake_damage(s->f.store, -12);
    for (int i = 0; i < KEYS; i += 4) {
        CHECK_OK(set(s->f.cache, s->names[i], s->keys[i]));
        CHECK_OK(set(s->other, s->names[i + 1], s->keys[i + 1]));
    }
    fake_forget_calls(s->f.store);
}

static void scene_close(scene *s) {
    for (int i = 0; i < KEYS; i++) {
        ckit_value_fini(&s->out[i]);
    }
    free(s->out);
    ckit_cache_close(s->other);
    fixture_close(&s->f);
}

static ckit_status get_many(scene *s, ckit_error *err) {
    return ckit_cache_get_many(s->f.cache, s->keys, KEYS, NULL, s->out, s->answers, err);
}

static void check_many(fake_kind kind) {
    scene s;
    scene_open(&s, kind);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(get_many(&s, NULL));
        for (int i = 0; i < KEYS; i++) {
            bool        there = i % 4 < 2, stored = i % 4 == 1 && round == 0;
            ckit_source source = stored ? CKIT_SOURCE_STORE : CKIT_SOURCE_MEMORY;
            CHECK_STATUS(there ? CKIT_OK : CKIT_MISS, s.answers[i]);
            if (there) {
                CHECK_BYTES(s.keys[i], s.out[i].data);
                CHECK_EQ_U(source, s.out[i].source);
            } else {
                CHECK(s.out[i].release == NULL && s.out[i].data.len == 0);
            }
            ckit_value_fini(&s.out[i]);
        }
        CHECK_EQ_U(KEYS / 4, stats_of(s.f.cache).l2_corrupt);
    }
    if (kind == FAKE_FULL) {
        CHECK_EQ_U(2, fake_calls(s.f.store, FAKE_GET_MANY));
        CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_GET));
    } else {
        CHECK_EQ_U(KEYS * 3 / 4 + KEYS / 2, fake_calls(s.f.store, FAKE_GET));
    }
    scene_close(&s);
}

CKIT_TEST(many, mixes_memory_and_one_batched_read) { check_many(FAKE_FULL); }
CKIT_TEST(many, reads_one_by_one_where_the_store_has_no_batch) { check_many(FAKE_REQUIRED); }

static void check_failing_keys(fake_kind kind) {
    scene s;
    scene_open(&s, kind);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_IO, 2); /* the first two that are asked: keys 1 and 2 */
    CHECK_OK(get_many(&s, NULL));
    CHECK_OK(s.answers[0]);
    CHECK_STATUS(CKIT_E_IO, s.answers[1]);
    CHECK_STATUS(CKIT_E_IO, s.answers[2]);
    CHECK_STATUS(CKIT_MISS, s.answers[3]);
    CHECK_OK(s.answers[5]);
    CHECK_EQ_U(2, stats_of(s.f.cache).l2_errors);
    scene_close(&s);
}

CKIT_TEST(many, a_key_that_fails_does_not_fail_the_others) { check_failing_keys(FAKE_FULL); }
CKIT_TEST(many, nor_does_it_without_a_batch) { check_failing_keys(FAKE_REQUIRED); }

CKIT_TEST(many, a_failing_batch_leaves_what_memory_has) {
    scene      s;
    ckit_error err = CKIT_ERROR_INIT;
    scene_open(&s, FAKE_FULL);
    fake_fail(s.f.store, FAKE_GET_MANY, CKIT_E_UNREACHABLE, 1);
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get_many(&s, &err), &err);
    for (int i = 0; i < KEYS; i++) {
        CHECK_STATUS(i % 4 == 0 ? CKIT_OK : CKIT_E_UNREACHABLE, s.answers[i]);
    }
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors);
    scene_close(&s);
}

CKIT_TEST(many, a_wrong_key_is_its_own_answer_and_none_is_fine) {
    fixture     f;
    ckit_slice  keys[3] = {S("good"), S(""), S("better")};
    ckit_value  out[3] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status answers[3];
    for (int store = 0; store < 2; store++) {
        fixture_prepare(&f);
        if (store) {
            fixture_start(&f, FAKE_FULL);
        } else {
            fixture_start_memory(&f);
        }
        CHECK_OK(set(f.cache, "good", S("1")));
        CHECK_OK(set(f.cache, "better", S("2")));
        CHECK_OK(ckit_cache_get_many(f.cache, keys, 3, NULL, out, answers, NULL));
        CHECK_OK(answers[0]);
        CHECK_STATUS(CKIT_E_MISUSE, answers[1]);
        CHECK_OK(answers[2]);
        CHECK_TEXT("1", out[0].data);
        CHECK_TEXT("2", out[2].data);
        ckit_value_fini(&out[0]);
        ckit_value_fini(&out[2]);
        CHECK_OK(ckit_cache_get_many(f.cache, NULL, 0, NULL, NULL, NULL, NULL));
        fixture_close(&f);
    }
}

CKIT_TEST(many, one_key_twice_is_two_answers) {
    fixture     f;
    ckit_slice  keys[2] = {S("key"), S("key")};
    ckit_value  out[2] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status answers[2];
    fixture_open(&f, FAKE_FULL);
    ckit_cache *other = fixture_cache(&f, FAKE_FULL);
    CHECK_OK(set(other, "key", S("v")));
    CHECK_OK(ckit_cache_get_many(f.cache, keys, 2, NULL, out, answers, NULL));
    CHECK_TEXT("v", out[0].data);
    CHECK_TEXT("v", out[1].data);
    ckit_value_fini(&out[0]);
    ckit_value_fini(&out[1]);
    ckit_cache_close(other);
    fixture_close(&f);
}
