/* Sealed values through the pipeline: what store and memory hold, what opens, and what becomes of the rest. */
#include "cache/core.h"
#include "cache/memkey.h"
#include "cache/poll_fixture.h"
#include "format/sealed.h"
#include "support/failing_alloc.h"
#include "support/hex.h"

#include <stdlib.h>

#define KEY_A "6161616161616161616161616161616161616161616161616161616161616161"
#define KEY_B "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TENANT "00000000-0000-0000-0000-000000000001"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef struct scene {
    fixture        f;
    ckit_keyring  *ring;
    loader         l;
    ckit_function *fn;
} scene;

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}

static ckit_keyring *ring_of(const char *current, const char *previous) {
    static const ckit_log quiet = {.write = ignore_line};
    ckit_keyring_options  options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring         *ring = NULL;
    ckit_error            err = CKIT_ERROR_INIT;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    options.log = &quiet;
    CHECK_OK_ERR(ckit_keyring_open(&options, &ring, &err), &err);
    return ring;
}

static ckit_function_options one_function(void) {
    return (ckit_function_options){.struct_size = sizeof(ckit_function_options), .namespace_name = "n"};
}

static void scene_prepare(scene *s) {
    fixture_prepare(&s->f);
    s->ring = ring_of(KEY_A, NULL);
    s->f.options.keyring = s->ring;
    s->f.options.encryption = CKIT_ON;
}

static void scene_start(scene *s, bool store) {
    const ckit_function_options options = one_function();
    if (store) {
        fixture_start(&s->f, FAKE_LOCKING);
    } else {
        fixture_start_memory(&s->f);
    }
    loader_init(&s->l);
    s->l.result = 4711;
    s->l.size = 300;
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
}

static void scene_open(scene *s, bool store) {
    scene_prepare(s);
    scene_start(s, store);
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
    ckit_keyring_close(s->ring);
}

/* A second cache over the same store, with a function of the same name. */
typedef struct other {
    ckit_cache    *cache;
    ckit_function *fn;
} other;

static other other_of(scene *s, const ckit_cache_options *options) {
    other                       o = {NULL, NULL};
    ckit_error                  err = CKIT_ERROR_INIT;
    const ckit_function_options of = one_function();
    CHECK_OK_ERR(ckit_cache_new(options, fake_connect(s->f.store, FAKE_LOCKING), &o.cache, &err), &err);
    o.fn = function_of(o.cache, "test.load", &s->l, &of);
    return o;
}

static void other_close(other *o) {
    ckit_function_close(o->fn);
    ckit_cache_close(o->cache);
}

static bool contains(ckit_slice bytes, uint8_t repeated) {
    uint8_t needle[16];
    memset(needle, repeated, sizeof needle);
    return bytes.len > 0 && memmem(bytes.ptr, bytes.len, needle, sizeof needle) != NULL;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

CKIT_TEST(sealing, a_result_is_sealed_in_the_store_and_comes_back_from_memory_and_store) {
    scene s;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    CHECK(!contains(fake_only_value(s.f.store), 4711 & 0xff));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, s.fn, 1);
    other o = other_of(&s, &s.f.options);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 1);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, o.fn, 1);
    CHECK_EQ_U(1, s.l.runs);
    other_close(&o);
    scene_close(&s);
}

CKIT_TEST(sealing, what_is_stored_is_what_every_sdk_seals_for_the_deployment_and_the_key) {
    scene s;
    scene_prepare(&s);
    s.f.options.deployment_id = TENANT;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    ckit_buf           document = {0};
    ckiti_sealed_class cls;
    ckiti_sealed_place place = {.ring = s.ring, .tenant = S(TENANT), .key = fake_only_key(s.f.store)};
    ckit_error         err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_sealed_open(&place, fake_only_value(s.f.store), true, 0, &document, &cls, &err), &err);
    CHECK(contains(ckit_buf_slice(&document), 4711 & 0xff));
    ckit_buf_fini(&document);
    scene_close(&s);
}

/* The released Python SDK wrote this for f(42) of __main__.get_user in namespace "test" under 32 times 0x61. */
CKIT_TEST(sealing, an_entry_that_the_released_sdk_has_written_is_a_hit) {
    static const char stored[] = "434b03000001237b2273223a202264656661756c74222c20226d223a207b22666f726d6174223a20226d7"
                                 "3677061636b222c2022656e636f6"
                                 "4696e67223a20227574662d38222c2022636f6d70726573736564223a20747275652c20226f726967696e"
                                 "616c5f74797065223a20226d7367"
                                 "7061636b222c2022656e63727970746564223a20747275652c202274656e616e745f6964223a202230303"
                                 "030303030302d303030302d30303"
                                 "0302d303030302d303030303030303030303031222c2022656e6372797074696f6e5f616c676f72697468"
                                 "6d223a20224145532d3235362d47"
                                 "434d222c20226b65795f66696e6765727072696e74223a202233336166623235613435616431373632646"
                                 "3346466333263666661336464653"
                                 "5227d2c202276223a2022322e30227d0102030405060708000000007baad1bc9b2274a0cf1be3134fd14a"
                                 "20fe18c3af141b8732065b231284"
                                 "d71e1b02d64a54343164700c30b95e7e660a67c9c3330275d5e58196f8ee262d47d1";
    scene             s;
    ckit_function    *fn = NULL;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_args             args;
    ckit_value            value = CKIT_VALUE_INIT;
    scene_open(&s, true);
    options.namespace_name = "test";
    fn = function_of(s.f.cache, "__main__.get_user", &s.l, &options);
    ckit_buf key = key_of(fn, 42);
    CHECK_TEXT(
        "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s",
        ckit_buf_slice(&key));
    fake_put(s.f.store, ckit_buf_slice(&key), hex_slice(stored), 5000);
    for (int i = 0; i < 2; i++) { /* from the store, then from memory */
        ckit_args_init(&args);
        ckit_args_int(&args, 42);
        CHECK_OK(ckit_call(fn, &args, &value, NULL));
        CHECK_EQ_U(i == 0 ? CKIT_SOURCE_STORE : CKIT_SOURCE_MEMORY, value.source);
        CHECK_BYTES(hex_slice("82a7757365725f69647ba46e616d65a5416c696365"), value.data);
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
    CHECK_EQ_U(0, s.l.runs);
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(sealing, small_values_too_lie_where_they_are_wiped_when_they_are_given_back) {
    scene      s;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, true);
    s.l.size = 0;
    for (int i = 0; i < 2; i++) { /* computed, then from memory */
        CHECK_OK(ckit_call(s.fn, NULL, &value, NULL));
        CHECK(value.data.len <= sizeof value.inline_bytes);
        CHECK(value.data.ptr < value.inline_bytes || value.data.ptr >= value.inline_bytes + sizeof value.inline_bytes);
        CHECK(value.release != NULL);
        ckit_value_fini(&value);
    }
    scene_close(&s);
}

static const ckiti_memkey *name_of(const ckit_function *fn, int64_t argument) {
    static ckiti_memkey memkey;
    ckit_args           args;
    ckit_slice          packed;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    CHECK_OK(ckit_args_pack(&args, &packed, NULL));
    ckiti_memkey_make(&memkey, fn->record->id, packed);
    ckit_args_fini(&args);
    return &memkey;
}

static void look_at_memory(const ckit_function *fn, int64_t argument, ckit_value *out) {
    const ckiti_memkey *name = name_of(fn, argument);
    ckiti_l1           *l1 = fn->record->ns->l1;
    ckiti_l1_query      query = {.key = ckiti_memkey_slice(name), .tag = CKITI_TAG_SEALED};
    query.hash = ckiti_l1_hash(l1, query.key);
    CHECK_OK(ckiti_l1_get(l1, &query, ckiti_cache_now(fn->cache), out));
}

CKIT_TEST(sealing, memory_holds_the_very_bytes_of_the_store) {
    scene      s;
    ckit_value held = CKIT_VALUE_INIT;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    look_at_memory(s.fn, 1, &held);
    CHECK_BYTES(fake_only_value(s.f.store), held.data);
    ckit_value_fini(&held);
    scene_close(&s);
}

CKIT_TEST(sealing, memory_alone_holds_sealed_bytes_when_encryption_was_asked_for) {
    scene      s;
    ckit_value held = CKIT_VALUE_INIT;
    scene_open(&s, false);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    look_at_memory(s.fn, 1, &held);
    CHECK(!contains(held.data, 4711 & 0xff));
    CHECK_EQ_U('C', held.data.ptr[0]);
    ckit_value_fini(&held);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, s.fn, 1);
    scene_close(&s);
}

CKIT_TEST(sealing, a_key_ring_alone_seals_what_a_store_keeps_and_not_what_only_memory_does) {
    for (unsigned store = 0; store < 2; store++) {
        scene s;
        scene_prepare(&s);
        s.f.options.encryption = CKIT_DEFAULT;
        scene_start(&s, store != 0);
        CHECK_EQ_U(store, s.fn->sealed);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, s.fn, 1);
        scene_close(&s);
    }
}

CKIT_TEST(sealing, encryption_without_a_key_does_not_open_and_says_what_to_do) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_prepare(&f);
    f.options.encryption = CKIT_ON;
    CHECK_STATUS(CKIT_E_NO_MASTER_KEY, ckit_cache_new(&f.options, NULL, &f.cache, &err));
    CHECK_CONTAINS("CACHEKIT_MASTER_KEY", err.text);
    f.options.encryption = CKIT_DEFAULT;
    fixture_start_memory(&f);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn = NULL;
    options.encryption = CKIT_ON;
    CHECK_STATUS(CKIT_E_NO_MASTER_KEY, ckit_function_new(f.cache, "m.f", NULL, NULL, &options, &fn, &err));
    CHECK_CONTAINS("CACHEKIT_MASTER_KEY", err.text);
    fixture_close(&f);
}

CKIT_TEST(sealing, a_function_that_asks_is_sealed_and_one_that_declines_is_not) {
    scene                 s;
    ckit_function_options options = one_function();
    scene_prepare(&s);
    s.f.options.encryption = CKIT_OFF;
    scene_start(&s, true);
    options.encryption = CKIT_ON;
    options.integrity = CKIT_OFF;
    ckit_function *asks = function_of(s.f.cache, "test.asks", &s.l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, asks, 1);
    CHECK(!contains(fake_only_value(s.f.store), 4711 & 0xff));
    ckit_buf key = key_of(asks, 1);
    CHECK_TEXT("1s", ckit_slice_of(key.ptr + key.len - 2, 2)); /* integrity is on, whatever was said */
    ckit_buf_fini(&key);
    CHECK_OK(invalidate(asks, 1));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    CHECK(memmem(fake_only_value(s.f.store).ptr, fake_only_value(s.f.store).len, "encrypted", 9) == NULL);
    ckit_function_close(asks);
    scene_close(&s);
}

CKIT_TEST(sealing, objects_are_not_kept_where_values_are_sealed) {
    scene      s;
    ckit_op   *op = NULL;
    ckit_error err = CKIT_ERROR_INIT;
    int        thing = 0;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, false);
    ckit_start start = {.function = s.fn};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, &err));
    ckit_object object = {.object = &thing};
    ckit_result result = {.object = &object};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_finish(op, &result, &value, &err));
    CHECK_CONTAINS("cannot be sealed", err.text);
    ckit_op_free(op);
    scene_close(&s);
}

/* ---- what does not open ---------------------------------------------------------------------------------------------- */

static uint64_t failures_in_store(const ckit_cache_stats *stats) {
    return stats->auth_failures_l2 + stats->suspicious_l2 + stats->sealed_corrupt_l2;
}

CKIT_TEST(sealing, every_changed_bit_of_an_entry_is_a_miss_that_is_classified_and_never_another_value) {
    scene s;
    scene_prepare(&s);
    s.f.options.l1 = CKIT_OFF;
    s.f.options.lock = CKIT_OFF; /* one look for each call */
    scene_start(&s, true);
    s.l.size = 0;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    ckit_buf key = key_of(s.fn, 1), good = {0}, bad = {0};
    CHECK_OK(ckit_buf_append(&good, fake_only_value(s.f.store)));
    CHECK_OK(ckit_buf_append(&bad, fake_only_value(s.f.store)));
    uint64_t malformed = 0;
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        ckit_cache_stats before = stats_of(s.f.cache);
        bad.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fake_put(s.f.store, ckit_buf_slice(&key), ckit_buf_slice(&bad), 5000);
        bad.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        answer a = call(s.fn, 1);
        CHECKF(a.status == CKIT_OK && a.source == CKIT_SOURCE_FUNCTION && a.number == 4711, "bit %zu", bit);
        ckit_cache_stats after = stats_of(s.f.cache);
        CHECKF(after.l2_corrupt == before.l2_corrupt + 1, "bit %zu", bit);
        malformed += failures_in_store(&after) == failures_in_store(&before);
    }
    ckit_cache_stats all = stats_of(s.f.cache);
    CHECK_EQ_U(good.len * 8, failures_in_store(&all) + malformed);
    CHECK(all.auth_failures_l2 >= (CKIT_SEAL_OVERHEAD + 4) * 8u); /* nonce, ciphertext and tag */
    CHECK(malformed < 200 * 8);
    fake_put(s.f.store, ckit_buf_slice(&key), ckit_buf_slice(&good), 5000);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, s.fn, 1);
    ckit_buf_fini(&key);
    ckit_buf_fini(&good);
    ckit_buf_fini(&bad);
    scene_close(&s);
}

CKIT_TEST(sealing, failing_open_removes_an_altered_entry_and_computes_again) {
    scene s;
    scene_prepare(&s);
    s.f.options.l1 = CKIT_OFF;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    fake_damage(s.f.store, -1);
    fake_fail(s.f.store, FAKE_SET, CKIT_E_IO, 1); /* so that the removal is seen */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l2);
    scene_close(&s);
}

CKIT_TEST(sealing, failing_closed_tells_the_caller_and_keeps_the_entry_as_evidence) {
    scene s;
    scene_prepare(&s);
    s.f.options.l1 = CKIT_OFF;
    s.f.options.fail_closed = CKIT_ON;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    fake_damage(s.f.store, -1);
    for (unsigned i = 1; i <= 2; i++) {
        answer a = call(s.fn, 1);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.status);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.error.status);
        CHECK_EQ_U(i, stats_of(s.f.cache).auth_failures_l2);
    }
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_EQ_U(1, s.l.runs);
    CHECK(!fake_is_locked(s.f.store));
    scene_close(&s);
}

CKIT_TEST(sealing, failing_closed_tells_a_caller_who_polls_as_well) {
    for (int kind = FAKE_LOCKING; kind <= FAKE_SUBMITTING; kind++) {
        scene      s;
        ckit_op   *op = NULL;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        scene_prepare(&s);
        s.f.options.l1 = CKIT_OFF;
        s.f.options.fail_closed = CKIT_ON;
        fixture_start(&s.f, (fake_kind)kind);
        loader_init(&s.l);
        ckit_function_options options = one_function();
        s.fn = function_of(s.f.cache, "test.load", &s.l, &options);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 1);
        fake_damage(s.f.store, -1);
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_int(&args, 1);
        ckit_start start = {.function = s.fn, .args = &args};
        CHECK_STATUS(CKIT_E_AUTH_TAG, ckit_begin(&start, &op, &value, &err)); /* without a poll */
        CHECK_STATUS(CKIT_E_AUTH_TAG, err.status);
        CHECK_EQ_P(NULL, op);
        ckit_args_fini(&args);
        scene_close(&s);
    }
}

CKIT_TEST(sealing, an_altered_copy_in_memory_is_dropped_and_the_policy_of_the_cache_holds) {
    for (unsigned closed = 0; closed < 2; closed++) {
        scene      s;
        ckit_value held = CKIT_VALUE_INIT;
        scene_prepare(&s);
        s.f.options.fail_closed = closed ? CKIT_ON : CKIT_OFF;
        scene_start(&s, true);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
        look_at_memory(s.fn, 1, &held);
        ckit_buf bad = {0};
        CHECK_OK(ckit_buf_append(&bad, held.data));
        ckit_value_fini(&held);
        bad.ptr[bad.len - 1] ^= 1;
        const ckiti_memkey *name = name_of(s.fn, 1);
        ckiti_l1           *l1 = s.fn->record->ns->l1;
        ckiti_l1_put_args   put = {.key = ckiti_memkey_slice(name),
                                   .value = ckit_buf_slice(&bad),
                                   .life_ms = 5000,
                                   .birth = ckiti_l1_birth(l1),
                                   .tag = CKITI_TAG_SEALED};
        put.hash = ckiti_l1_hash(l1, put.key);
        CHECK_OK(ckiti_l1_put(l1, &put, ckiti_cache_now(s.f.cache)));
        if (closed) {
            CHECK_STATUS(CKIT_E_AUTH_TAG, call(s.fn, 1).status);
        }
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, s.fn, 1);
        CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l1);
        CHECK_EQ_U(0, stats_of(s.f.cache).auth_failures_l2);
        ckit_buf_fini(&bad);
        scene_close(&s);
    }
}

CKIT_TEST(sealing, an_entry_in_the_clear_is_suspicious_and_removed_also_when_failing_closed) {
    scene s;
    scene_prepare(&s);
    s.f.options.encryption = CKIT_OFF;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    ckit_cache_options options = s.f.options;
    options.encryption = CKIT_ON;
    options.fail_closed = CKIT_ON;
    other o = other_of(&s, &options);
    s.l.result = 5;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 5, o.fn, 1);
    CHECK_EQ_U(1, stats_of(o.cache).suspicious_l2);
    CHECK(!contains(fake_only_value(s.f.store), 5));
    other_close(&o);
    scene_close(&s);
}

CKIT_TEST(sealing, an_entry_under_another_name_does_not_open) {
    scene s;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    ckit_buf moved = {0}, key = key_of(s.fn, 2);
    CHECK_OK(ckit_buf_append(&moved, fake_only_value(s.f.store)));
    fake_put(s.f.store, ckit_buf_slice(&key), ckit_buf_slice(&moved), 5000);
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 2);
    CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l2);
    ckit_buf_fini(&moved);
    ckit_buf_fini(&key);
    scene_close(&s);
}

CKIT_TEST(sealing, entries_of_another_deployment_open_unless_ours_was_configured) {
    for (unsigned configured = 0; configured < 2; configured++) {
        scene s;
        scene_prepare(&s);
        s.f.options.deployment_id = "somebody";
        scene_start(&s, true);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
        ckit_cache_options options = s.f.options;
        options.deployment_id = configured ? TENANT : NULL;
        other o = other_of(&s, &options);
        CHECK_CALL(configured ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_STORE, 4711, o.fn, 1);
        CHECK_EQ_U(configured, stats_of(o.cache).auth_failures_l2);
        other_close(&o);
        scene_close(&s);
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

CKIT_TEST(sealing, after_a_rotation_old_entries_open_and_new_ones_need_the_new_key) {
    scene s;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    ckit_cache_options options = s.f.options;
    options.keyring = ring_of(KEY_B, KEY_A);
    other rotated = other_of(&s, &options);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, rotated.fn, 1);
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, rotated.fn, 2);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 2); /* the old key alone does not open it */
    CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l2);
    other_close(&rotated);
    ckit_keyring_close((ckit_keyring *)options.keyring);
    scene_close(&s);
}

CKIT_TEST(sealing, a_result_that_cannot_be_sealed_any_more_is_given_and_kept_nowhere) {
    static const ckit_log quiet = {.write = ignore_line};
    scene                 s;
    ckit_keyring_options  keys = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring         *spent = NULL;
    scene_prepare(&s);
    keys.master_key_hex = KEY_B;
    keys.max_seals_per_key = 1;
    keys.log = &quiet;
    CHECK_OK(ckit_keyring_open(&keys, &spent, NULL));
    s.f.options.keyring = spent;
    scene_start(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 2);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 2);
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_EQ_U(2, stats_of(s.f.cache).not_sealed);
    scene_close(&s);
    ckit_keyring_close(spent);
}

CKIT_TEST(sealing, with_encryption_off_a_sealed_entry_is_opened_counted_and_warned_of_once_for_a_key) {
    scene s;
    scene_open(&s, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, s.fn, 2);
    ckit_cache_options options = s.f.options;
    options.encryption = CKIT_OFF;
    options.l1 = CKIT_OFF;
    other    o = other_of(&s, &options);
    unsigned before = s.f.log.lines;
    for (int i = 0; i < 3; i++) {
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 1);
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 2);
    }
    CHECK_EQ_U(6, stats_of(o.cache).encryption_drift);
    CHECK_EQ_U(before + 2, s.f.log.lines);
    CHECK_CONTAINS("encryption is off here", s.f.log.text);
    other_close(&o);
    options.keyring = NULL;
    other keyless = other_of(&s, &options);
    s.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, keyless.fn, 1);
    other_close(&keyless);
    scene_close(&s);
}

/* ---- other forms ------------------------------------------------------------------------------------------------------ */

static answer raw_call(ckit_function *fn, ckit_slice bytes, ckit_slice expected) {
    ckit_args  args;
    ckit_op   *op = NULL;
    ckit_value value = CKIT_VALUE_INIT;
    answer     a = {.status = CKIT_OK};
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    ckit_start start = {.function = fn, .args = &args};
    a.status = ckit_begin(&start, &op, &value, NULL);
    if (a.status == CKIT_COMPUTE) {
        ckit_result result = {.document = bytes};
        a.status = ckit_finish(op, &result, &value, NULL);
        ckit_op_free(op);
    }
    CHECK_OK(a.status);
    CHECK_BYTES(expected, value.data);
    a.source = value.source;
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return a;
}

CKIT_TEST(sealing, frames_of_a_raw_function_become_encrypted_frames_and_other_bytes_are_sealed_bare) {
    ckit_frame frame = {.serializer = S("orjson"),
                        .format = S("orjson"),
                        .encoding = S("utf-8"),
                        .original_type = S("orjson"),
                        .has_original_type = true,
                        .payload = S("{\"name\":\"somebody's name\"}")};
    ckit_buf   framed = {0};
    CHECK_OK(ckit_frame_write(&frame, &framed, NULL));
    const ckit_slice values[] = {ckit_buf_slice(&framed), S("only some bytes"), S("CK\x03 that is no frame")};
    for (size_t i = 0; i < COUNT(values); i++) {
        scene                 s;
        ckit_function_options options = one_function();
        scene_open(&s, true);
        options.raw = true;
        ckit_function *fn = function_of(s.f.cache, "test.raw", NULL, &options);
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, raw_call(fn, values[i], values[i]).source);
        ckit_slice stored = fake_only_value(s.f.store);
        CHECK_EQ_U(i == 0, memcmp(stored.ptr, "CK\x03", 3) == 0);
        CHECK(memmem(stored.ptr, stored.len, "some", 4) == NULL);
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, raw_call(fn, S("x"), values[i]).source);
        ckit_cache_options also = s.f.options;
        other              o = other_of(&s, &also);
        ckit_function     *there = function_of(o.cache, "test.raw", NULL, &options);
        CHECK_EQ_U(CKIT_SOURCE_STORE, raw_call(there, S("x"), values[i]).source);
        ckit_function_close(there);
        other_close(&o);
        ckit_function_close(fn);
        scene_close(&s);
    }
    ckit_buf_fini(&framed);
}

static void check_entry(ckit_cache *cache, const char *key, ckit_encoding encoding, const char *expected) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    options.encoding = encoding;
    CHECK_OK_ERR(ckit_cache_get(cache, S(key), &options, &value, &err), &err);
    CHECK_TEXT(expected, value.data);
    ckit_value_fini(&value);
}

CKIT_TEST(sealing, entries_by_key_are_sealed_in_store_and_memory) {
    for (int raw = 0; raw < 2; raw++) {
        scene              s;
        ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
        scene_open(&s, true);
        options.encoding = raw ? CKIT_RAW : CKIT_BYTES;
        CHECK_OK(ckit_cache_set(s.f.cache, S("greeting"), S("hello, hello"), &options, NULL));
        ckit_slice stored = fake_only_value(s.f.store);
        CHECK(memmem(stored.ptr, stored.len, "hello", 5) == NULL);
        check_entry(s.f.cache, "greeting", options.encoding, "hello, hello");
        other o = other_of(&s, &s.f.options);
        check_entry(o.cache, "greeting", options.encoding, "hello, hello");
        check_entry(o.cache, "greeting", options.encoding, "hello, hello");
        ckit_slice  keys[2] = {S("greeting"), S("nothing")};
        ckit_value  values[2] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT};
        ckit_status answers[2];
        CHECK_OK(ckit_cache_get_many(o.cache, keys, 2, &options, values, answers, NULL));
        CHECK_OK(answers[0]);
        CHECK_STATUS(CKIT_MISS, answers[1]);
        CHECK_TEXT("hello, hello", values[0].data);
        ckit_value_fini(&values[0]);
        other_close(&o);
        scene_close(&s);
    }
}

CKIT_TEST(sealing, an_altered_entry_by_key_is_a_miss_or_the_callers_to_see) {
    for (unsigned closed = 0; closed < 2; closed++) {
        scene      s;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        scene_prepare(&s);
        s.f.options.l1 = CKIT_OFF;
        s.f.options.fail_closed = closed ? CKIT_ON : CKIT_OFF;
        scene_start(&s, true);
        CHECK_OK(ckit_cache_set(s.f.cache, S("k"), S("value"), NULL, NULL));
        fake_damage(s.f.store, -1);
        CHECK_STATUS(closed ? CKIT_E_AUTH_TAG : CKIT_MISS, ckit_cache_get(s.f.cache, S("k"), NULL, &value, &err));
        CHECK_EQ_U(closed, fake_count(s.f.store));
        scene_close(&s);
    }
}

CKIT_TEST(sealing, all_who_wait_for_a_computation_are_given_its_value) {
    scene         s;
    threaded_call calls[4];
    memset(calls, 0, sizeof calls);
    scene_open(&s, true);
    loader_shut(&s.l);
    for (size_t i = 0; i < COUNT(calls); i++) {
        call_start(&calls[i], s.fn, 1);
    }
    wait_flight_waits(s.f.cache, COUNT(calls) - 1);
    loader_open(&s.l);
    for (size_t i = 0; i < COUNT(calls); i++) {
        CHECK_EQ_U(4711, call_join(&calls[i]).number);
    }
    CHECK_EQ_U(1, s.l.runs);
    scene_close(&s);
}

/* ---- tenants ---------------------------------------------------------------------------------------------------------- */

/* The first argument names the tenant. */
static ckit_status tenant_of(void *context, const ckit_args *args, ckit_buf *tenant, ckit_error *err) {
    ckit_reader r;
    (void)context;
    if (ckit_args_positional(args, &r) == 0 || ckit_reader_peek(&r) != CKIT_TYPE_STR) {
        return ckit_fail(err, CKIT_E_KEY_ARGUMENT, "test", "no tenant");
    }
    return ckit_buf_append(tenant, ckit_read_str(&r));
}

/* With `told` the tenant is told beside the arguments, and with `named` it is one of them. */
static answer tenant_call(ckit_function *fn, const char *told, const char *named) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    answer     a = {.error = CKIT_ERROR_INIT};
    ckit_args_init(&args);
    if (named != NULL) {
        ckit_args_str(&args, S(named));
    }
    ckit_args_int(&args, 1);
    if (told != NULL) {
        ckit_args_tenant(&args, S(told));
    }
    a.status = ckit_call(fn, &args, &value, &a.error);
    if (a.status == CKIT_OK) {
        a.number = read_number(&value);
        a.source = value.source;
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return a;
}

static void check_tenant(scene *s, const char *told, ckit_source source, uint64_t number) {
    answer a = tenant_call(s->fn, told, NULL);
    CHECK_STATUS_ERR(CKIT_OK, a.status, &a.error);
    CHECK_EQ_U(source, a.source);
    CHECK_EQ_U(number, a.number);
}

static void tenants_open(scene *s, bool store, bool sealed) {
    ckit_function_options options = one_function();
    scene_prepare(s);
    s->f.options.encryption = sealed ? CKIT_ON : CKIT_OFF;
    scene_start(s, store);
    ckit_function_close(s->fn);
    options.tenants = true;
    s->fn = function_of(s->f.cache, "test.load", &s->l, &options);
}

CKIT_TEST(tenants, equal_calls_of_two_tenants_have_entries_of_their_own_in_store_and_memory) {
    for (int form = 0; form < 4; form++) {
        scene s;
        bool  store = (form & 1) != 0;
        tenants_open(&s, store, (form & 2) != 0);
        check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 4711);
        s.l.result = 5;
        check_tenant(&s, "zeta", CKIT_SOURCE_FUNCTION, 5);
        check_tenant(&s, "acme", CKIT_SOURCE_MEMORY, 4711);
        check_tenant(&s, "zeta", CKIT_SOURCE_MEMORY, 5);
        CHECK_EQ_U(store ? 2 : 0, store ? fake_count(s.f.store) : 0);
        scene_close(&s);
    }
}

CKIT_TEST(tenants, the_stored_key_begins_with_the_encoded_tenant_and_the_bare_key_is_authenticated) {
    scene s;
    tenants_open(&s, true, true);
    check_tenant(&s, "a/b", CKIT_SOURCE_FUNCTION, 4711);
    ckit_slice key = fake_only_key(s.f.store);
    CHECK_TEXT("t:a%2Fb:ns:n:func:test.load:args:", ckit_slice_of(key.ptr, 33));
    ckit_buf           document = {0};
    ckiti_sealed_class cls;
    ckiti_sealed_place place = {.ring = s.ring, .tenant = S("a/b"), .key = ckit_slice_of(key.ptr + 8, key.len - 8)};
    CHECK_OK(ckiti_sealed_open(&place, fake_only_value(s.f.store), true, 0, &document, &cls, NULL));
    ckit_buf_fini(&document);
    scene_close(&s);
}

CKIT_TEST(tenants, an_entry_that_was_moved_from_another_tenant_is_refused_and_counted) {
    scene s;
    tenants_open(&s, true, true);
    check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 4711);
    ckit_slice key = fake_only_key(s.f.store);
    ckit_buf   moved = {0}, theirs = {0};
    CHECK_OK(ckit_buf_append(&moved, fake_only_value(s.f.store)));
    CHECK_OK(ckit_buf_append(&theirs, S("t:zeta")));
    CHECK_OK(ckit_buf_append(&theirs, ckit_slice_of(key.ptr + 6, key.len - 6)));
    fake_put(s.f.store, ckit_buf_slice(&theirs), ckit_buf_slice(&moved), 5000);
    s.l.result = 5;
    check_tenant(&s, "zeta", CKIT_SOURCE_FUNCTION, 5);
    CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l2);
    ckit_buf_fini(&moved);
    ckit_buf_fini(&theirs);
    scene_close(&s);
}

CKIT_TEST(tenants, without_a_tenant_the_function_runs_and_nothing_is_kept) {
    char too_long[CKIT_TENANT_MAX_BYTES + 2];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    const char *const bad[] = {NULL, "", "\xff", too_long};
    scene             s;
    tenants_open(&s, true, true);
    for (size_t i = 0; i < COUNT(bad); i++) {
        check_tenant(&s, bad[i], CKIT_SOURCE_FUNCTION, 4711);
        CHECK_EQ_U(i + 1, stats_of(s.f.cache).uncached);
    }
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_CONTAINS("the call has no tenant", s.f.log.text);
    scene_close(&s);
}

CKIT_TEST(tenants, the_function_names_the_tenant_of_a_call_unless_the_arguments_do) {
    scene                 s;
    ckit_function_options options = one_function();
    scene_open(&s, true);
    options.tenant_of = tenant_of;
    ckit_function *fn = function_of(s.f.cache, "test.named", &s.l, &options);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, NULL, "acme").source);
    CHECK_TEXT("t:acme:", ckit_slice_of(fake_only_key(s.f.store).ptr, 7));
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, tenant_call(fn, NULL, "acme").source);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, "zeta", "acme").source);
    CHECK_EQ_U(0, stats_of(s.f.cache).uncached);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, tenant_call(fn, NULL, NULL).source);
    CHECK_EQ_U(1, stats_of(s.f.cache).uncached);
    ckit_function_close(fn);
    scene_close(&s);
}

CKIT_TEST(tenants, one_call_of_one_tenant_is_invalidated_alone) {
    scene     s;
    ckit_args args;
    tenants_open(&s, true, true);
    check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 4711);
    check_tenant(&s, "zeta", CKIT_SOURCE_FUNCTION, 4711);
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    ckit_args_tenant(&args, S("acme"));
    CHECK_OK(ckit_invalidate(s.fn, &args, NULL));
    ckit_args_fini(&args);
    s.l.result = 6;
    check_tenant(&s, "zeta", CKIT_SOURCE_MEMORY, 4711);
    check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 6);
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    check_tenant(&s, "zeta", CKIT_SOURCE_FUNCTION, 6);
    scene_close(&s);
}

CKIT_TEST(tenants, deleting_an_entry_by_its_key_makes_memory_forget_it_too) {
    scene s;
    tenants_open(&s, true, true);
    check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 4711);
    ckit_buf key = {0};
    CHECK_OK(ckit_buf_append(&key, fake_only_key(s.f.store)));
    CHECK_OK(ckit_cache_delete(s.f.cache, ckit_buf_slice(&key), NULL, NULL));
    s.l.result = 7;
    check_tenant(&s, "acme", CKIT_SOURCE_FUNCTION, 7);
    ckit_buf_fini(&key);
    scene_close(&s);
}

/* ---- memory that fails ---------------------------------------------------------------------------------------------- */

CKIT_TEST(sealing, without_memory_a_call_still_gives_the_value_and_nothing_leaks) {
    for (uint64_t n = 0;; n++) {
        scene         s;
        failing_alloc fa;
        failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
        scene_prepare(&s);
        s.f.options.alloc = &fa.alloc;
        scene_start(&s, true);
        atomic_store(&fa.fail_at, atomic_load(&fa.requests) + n);
        answer first = call(s.fn, 1), second = call(s.fn, 1);
        bool   failed = failing_alloc_has_failed(&fa);
        atomic_store(&fa.fail_at, FAILING_ALLOC_NEVER);
        CHECKF(first.status == CKIT_OK ? first.number == 4711 : first.status == CKIT_E_NO_MEMORY, "request %llu",
               (unsigned long long)n);
        CHECKF(second.status == CKIT_OK ? second.number == 4711 : second.status == CKIT_E_NO_MEMORY, "request %llu",
               (unsigned long long)n);
        scene_close(&s);
        failing_alloc_check_empty(&fa);
        if (!failed) {
            break;
        }
    }
}

CKIT_TEST_MAIN()

CKIT_TEST(sealing, a_value_past_its_life_is_sealed_with_the_name_of_its_second_entry) {
    scene                 s;
    ckit_function_options options = one_function();
    options.ttl_ms = 10000;
    options.stale_ms = 5000;
    scene_open(&s, true);
    ckit_function *fn = function_of(s.f.cache, "test.stale", &s.l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, fn, 7);
    CHECK_EQ_U(2, fake_count(s.f.store));
    fake_clock_advance(&s.f.time, 12000);
    ckit_slice name = fake_only_key(s.f.store), bytes = fake_only_value(s.f.store);
    CHECK(bytes.len > 300);

    ckit_cache    *elsewhere = fixture_cache(&s.f, FAKE_LOCKING);
    ckit_function *there = function_of(elsewhere, "test.stale", &s.l, &options);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    answer a = call(there, 7);
    CHECK(a.stale);
    CHECK_EQ_U(4711, a.number);
    a = call(there, 7); /* from memory, where it has its key's name */
    CHECK(a.stale);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, a.source);
    CHECK_EQ_U(4711, a.number);
    CHECK_EQ_U(0, stats_of(elsewhere).auth_failures_l1 + stats_of(elsewhere).auth_failures_l2);
    ckit_function_close(there);
    ckit_cache_close(elsewhere);

    fake_put(s.f.store, ckit_slice_of(name.ptr, name.len - strlen(":stale")), bytes,
             60000); /* moved to the key itself */
    elsewhere = fixture_cache(&s.f, FAKE_LOCKING);
    options.stale_ms = 0;
    there = function_of(elsewhere, "test.stale", &s.l, &options);
    CHECK_STATUS(CKIT_E_FUNCTION, call(there, 7).status);
    CHECK_EQ_U(1, stats_of(elsewhere).auth_failures_l2);
    ckit_function_close(there);
    ckit_cache_close(elsewhere);
    ckit_function_close(fn);
    scene_close(&s);
}
