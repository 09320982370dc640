/* Sealed values through the pipeline: what store and memory hold, in every form. What does not open:
 * sealing_refusal_test.c. */
#include "cache/core.h"
#include "cache/sealing_fixture.h"
#include "format/seal_ring.h"
#include "format/sealed.h"
#include "support/failing_alloc.h"
#include "support/hex.h"

#include <stdlib.h>

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

CKIT_TEST(sealing, a_result_is_sealed_in_the_store_and_comes_back_from_memory_and_store) {
    vault v;
    vault_open(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK(!contains(fake_only_value(v.f.store), 4711 & 0xff));
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, v.fn, 1);
    other o = other_of(&v, &v.f.options);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 1);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, o.fn, 1);
    CHECK_EQ_U(1, v.l.runs);
    other_close(&o);
    vault_close(&v);
}

CKIT_TEST(sealing, what_is_stored_is_what_every_sdk_seals_for_the_deployment_and_the_key) {
    vault v;
    vault_prepare(&v);
    v.f.options.deployment_id = TENANT;
    vault_start(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    ckit_buf           document = {0};
    ckiti_sealed_class cls;
    ckiti_sealed_place place = {.ring = v.ring, .tenant = S(TENANT), .key = fake_only_key(v.f.store)};
    ckit_error         err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_sealed_open(&place, fake_only_value(v.f.store), true, 0, &document, &cls, &err), &err);
    CHECK(contains(ckit_buf_slice(&document), 4711 & 0xff));
    ckit_buf_fini(&document);
    vault_close(&v);
}

/* The released Python SDK wrote this for f(42) of __main__.get_user in namespace "test" under 32 times 0x61. */
CKIT_TEST(sealing, an_entry_that_the_released_sdk_has_written_is_a_hit) {
    static const char stored[] =
        "434b03000001237b2273223a202264656661756c74222c20226d223a207b22666f726d6174223a20226d73677061636b"
        "222c2022656e636f64696e67223a20227574662d38222c2022636f6d70726573736564223a20747275652c20226f7269"
        "67696e616c5f74797065223a20226d73677061636b222c2022656e63727970746564223a20747275652c202274656e61"
        "6e745f6964223a202230303030303030302d303030302d303030302d303030302d303030303030303030303031222c20"
        "22656e6372797074696f6e5f616c676f726974686d223a20224145532d3235362d47434d222c20226b65795f66696e67"
        "65727072696e74223a20223333616662323561343561643137363264633464663332636666613364646535227d2c2022"
        "76223a2022322e30227d0102030405060708000000007baad1bc9b2274a0cf1be3134fd14a20fe18c3af141b8732065b"
        "231284d71e1b02d64a54343164700c30b95e7e660a67c9c3330275d5e58196f8ee262d47d1";
    vault                 v;
    ckit_function        *fn = NULL;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_args             args;
    ckit_value            value = CKIT_VALUE_INIT;
    vault_open(&v, true);
    options.namespace_name = "test";
    fn = function_of(v.f.cache, "__main__.get_user", &v.l, &options);
    ckit_buf key = key_of(fn, 42);
    CHECK_TEXT(
        "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s",
        ckit_buf_slice(&key));
    fake_put(v.f.store, ckit_buf_slice(&key), hex_slice(stored), 5000);
    for (int i = 0; i < 2; i++) { /* from the store, then from memory */
        ckit_args_init(&args);
        ckit_args_int(&args, 42);
        CHECK_OK(ckit_call(fn, &args, &value, NULL));
        CHECK_EQ_U(i == 0 ? CKIT_SOURCE_STORE : CKIT_SOURCE_MEMORY, value.source);
        CHECK_BYTES(hex_slice("82a7757365725f69647ba46e616d65a5416c696365"), value.data);
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
    CHECK_EQ_U(0, v.l.runs);
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    vault_close(&v);
}

CKIT_TEST(sealing, small_values_too_lie_where_they_are_wiped_when_they_are_given_back) {
    vault      v;
    ckit_value value = CKIT_VALUE_INIT;
    vault_open(&v, true);
    v.l.size = 0;
    for (int i = 0; i < 2; i++) { /* computed, then from memory */
        CHECK_OK(ckit_call(v.fn, NULL, &value, NULL));
        CHECK(value.data.len <= sizeof value.inline_bytes);
        CHECK(value.data.ptr < value.inline_bytes || value.data.ptr >= value.inline_bytes + sizeof value.inline_bytes);
        CHECK(value.release != NULL);
        ckit_value_fini(&value);
    }
    vault_close(&v);
}

CKIT_TEST(sealing, memory_holds_the_very_bytes_of_the_store) {
    vault      v;
    ckit_value held = CKIT_VALUE_INIT;
    vault_open(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    vault_look(&v, &held);
    CHECK_BYTES(fake_only_value(v.f.store), held.data);
    ckit_value_fini(&held);
    vault_close(&v);
}

CKIT_TEST(sealing, memory_alone_holds_sealed_bytes_when_encryption_was_asked_for) {
    vault      v;
    ckit_value held = CKIT_VALUE_INIT;
    vault_open(&v, false);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    vault_look(&v, &held);
    CHECK(!contains(held.data, 4711 & 0xff));
    CHECK_EQ_U('C', held.data.ptr[0]);
    ckit_value_fini(&held);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, v.fn, 1);
    vault_close(&v);
}

CKIT_TEST(sealing, a_key_ring_alone_seals_what_a_store_keeps_and_not_what_only_memory_does) {
    for (unsigned store = 0; store < 2; store++) {
        vault v;
        vault_prepare(&v);
        v.f.options.encryption = CKIT_DEFAULT;
        vault_start(&v, store != 0);
        CHECK_EQ_U(store, v.fn->sealed);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, v.fn, 1);
        vault_close(&v);
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

CKIT_TEST(sealing, a_ring_lasts_as_long_as_the_last_cache_that_was_given_it) {
    vault v;
    vault_open(&v, true);
    other o = other_of(&v, &v.f.options);
    ckit_keyring_close(v.ring); /* by whoever opened it */
    v.ring = NULL;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 1);
    other_close(&o);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 2);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 4711, v.fn, 2);
    vault_close(&v);
}

CKIT_TEST(sealing, a_ring_is_given_back_by_a_cache_that_does_not_open) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    char       name[CKIT_TENANT_MAX_BYTES + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    fixture_prepare(&f);
    f.options.keyring = ring_of(KEY_A, NULL);
    f.options.deployment_id = name;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_cache_new(&f.options, NULL, &f.cache, &err));
    CHECK_EQ_U(1, atomic_load(&f.options.keyring->holders));
    ckit_keyring_close(f.options.keyring);
    fixture_close(&f);
}

CKIT_TEST(sealing, a_deployment_without_a_key_counts_for_nothing_and_the_log_says_so) {
    for (unsigned only = 0; only < 2; only++) {
        fixture f;
        fixture_prepare(&f);
        f.options.deployment_id = only ? NULL : "01234567-89ab-4def-8123-456789abcdef";
        f.options.deployment_only = only ? CKIT_ON : CKIT_DEFAULT;
        fixture_start_memory(&f);
        CHECK_CONTAINS(only ? "deployment_only is without effect" : "deployment_id is without effect", f.log.text);
        CHECK_CONTAINS("CACHEKIT_MASTER_KEY", f.log.text);
        CHECK_EQ_U(1, f.log.lines);
        fixture_close(&f);
    }
}

CKIT_TEST(sealing, a_function_that_asks_is_sealed_and_one_that_declines_is_not) {
    vault                 v;
    ckit_function_options options = one_function();
    vault_prepare(&v);
    v.f.options.encryption = CKIT_OFF;
    vault_start(&v, true);
    options.encryption = CKIT_ON;
    ckit_function *asks = function_of(v.f.cache, "test.asks", &v.l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, asks, 1);
    CHECK(!contains(fake_only_value(v.f.store), 4711 & 0xff));
    CHECK_OK(invalidate(asks, 1));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK(memmem(fake_only_value(v.f.store).ptr, fake_only_value(v.f.store).len, "encrypted", 9) == NULL);
    ckit_function_close(asks);
    vault_close(&v);
}

CKIT_TEST(sealing, encryption_with_integrity_off_is_refused_in_cache_and_function) {
    vault                 v;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_cache           *cache = NULL;
    ckit_function        *fn = NULL;
    ckit_function_options options = one_function();
    vault_prepare(&v);
    v.f.options.integrity = CKIT_OFF;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_cache_new(&v.f.options, NULL, &cache, &err));
    CHECK_CONTAINS("integrity is off", err.text);
    v.f.options.encryption = CKIT_DEFAULT;
    vault_start(&v, false);
    options.encryption = CKIT_ON;
    options.integrity = CKIT_OFF;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_function_new(v.f.cache, "m.f", NULL, NULL, &options, &fn, &err));
    CHECK_CONTAINS("integrity is off", err.text);
    vault_close(&v);
}

/* The cache's default, for what is in the clear, is no contradiction. */
CKIT_TEST(sealing, who_asks_for_encryption_has_the_checksum_too) {
    vault                 v;
    ckit_function_options options = one_function();
    vault_prepare(&v);
    v.f.options.encryption = CKIT_DEFAULT;
    v.f.options.integrity = CKIT_OFF;
    vault_start(&v, true);
    options.encryption = CKIT_ON;
    ckit_function *asks = function_of(v.f.cache, "test.asks", &v.l, &options);
    ckit_buf       with = key_of(asks, 1), without = key_of(v.fn, 1);
    CHECK_TEXT("1s", ckit_slice_of(with.ptr + with.len - 2, 2));
    CHECK_TEXT("0s", ckit_slice_of(without.ptr + without.len - 2, 2));
    ckit_buf_fini(&with);
    ckit_buf_fini(&without);
    ckit_function_close(asks);
    vault_close(&v);
}

CKIT_TEST(sealing, objects_are_not_kept_where_values_are_sealed) {
    vault      v;
    ckit_op   *op = NULL;
    ckit_error err = CKIT_ERROR_INIT;
    int        thing = 0;
    ckit_value value = CKIT_VALUE_INIT;
    vault_open(&v, false);
    ckit_start start = {.struct_size = sizeof start, .function = v.fn};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, &err));
    ckit_object object = {.object = &thing};
    ckit_result result = {.struct_size = sizeof result, .object = &object};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_finish(op, &result, &value, &err));
    CHECK_CONTAINS("cannot be sealed", err.text);
    ckit_op_free(op);
    vault_close(&v);
}

static void release_nothing(void *object, void *context) { (void)object, (*(unsigned *)context)++; }

static ckit_status give_object(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    (void)count, (void)err;
    calls[0].object = (ckit_object){.object = context, .size = 1, .release = release_nothing, .context = context};
    return CKIT_OK;
}

CKIT_TEST(sealing, nor_are_objects_of_many_calls_at_once) {
    vault      v;
    unsigned   released = 0;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args *args[1] = {NULL};
    ckit_value value = CKIT_VALUE_INIT;
    vault_open(&v, false);
    ckit_status answers[1];
    CHECK_STATUS(CKIT_E_MISUSE, ckit_call_many(v.fn, args, 1, give_object, &released, &value, answers, &err));
    CHECK_CONTAINS("cannot be sealed", err.text);
    CHECK_EQ_U(1, released);
    ckit_value_fini(&value);
    vault_close(&v);
}

CKIT_TEST(sealing, a_value_past_its_life_is_sealed_with_the_name_of_its_second_entry) {
    vault                 v;
    ckit_function_options options = one_function();
    options.ttl_ms = 10000;
    options.stale_ms = 5000;
    vault_open(&v, true);
    ckit_function *fn = function_of(v.f.cache, "test.stale", &v.l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, fn, 7);
    CHECK_EQ_U(2, fake_count(v.f.store));
    fake_clock_advance(&v.f.time, 12000);
    ckit_slice name = fake_only_key(v.f.store), bytes = fake_only_value(v.f.store);
    CHECK(bytes.len > 300);

    ckit_cache    *elsewhere = fixture_cache(&v.f, FAKE_LOCKING);
    ckit_function *there = function_of(elsewhere, "test.stale", &v.l, &options);
    loader_fail(&v.l, CKIT_E_FUNCTION, UINT64_MAX);
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

    fake_put(v.f.store, ckit_slice_of(name.ptr, name.len - strlen(":stale")), bytes,
             60000); /* moved to the key itself */
    elsewhere = fixture_cache(&v.f, FAKE_LOCKING);
    options.stale_ms = 0;
    there = function_of(elsewhere, "test.stale", &v.l, &options);
    CHECK_STATUS(CKIT_E_FUNCTION, call(there, 7).status);
    CHECK_EQ_U(1, stats_of(elsewhere).auth_failures_l2);
    ckit_function_close(there);
    ckit_cache_close(elsewhere);
    ckit_function_close(fn);
    vault_close(&v);
}

/* ---- other forms ------------------------------------------------------------------------------------------------- */

static answer raw_call(ckit_function *fn, ckit_slice bytes, ckit_slice expected) {
    ckit_op   *op = NULL;
    ckit_value value = CKIT_VALUE_INIT;
    answer     a = {.status = CKIT_OK};
    a.status = begin_op(fn, 1, &op, &value);
    if (a.status == CKIT_COMPUTE) {
        ckit_result result = {.struct_size = sizeof result, .document = bytes};
        a.status = ckit_finish(op, &result, &value, NULL);
        ckit_op_free(op);
    }
    CHECK_OK(a.status);
    CHECK_BYTES(expected, value.data);
    a.source = value.source;
    ckit_value_fini(&value);
    return a;
}

CKIT_TEST(sealing, frames_of_a_raw_function_become_encrypted_frames_and_other_bytes_are_sealed_bare) {
    ckit_frame frame = {.serializer = S("orjson"),
                        .format = S("orjson"),
                        .encoding = S("utf-8"),
                        .original_type = S("orjson"),
                        .has_original_type = true,
                        .payload = S("{\"name\":\"somebody's name\"}")};
    ckit_buf   framed = {0}, foreign = {0};
    CHECK_OK(ckit_frame_write(&frame, &framed, NULL));
    frame.encoding = S("latin-1"); /* no writer of encrypted frames puts that into one, so it would not be opened */
    CHECK_OK(ckit_frame_write(&frame, &foreign, NULL));
    const ckit_slice values[] = {ckit_buf_slice(&framed), S("only some bytes"), S("CK\x03 that is no frame"),
                                 ckit_buf_slice(&foreign)};
    for (size_t i = 0; i < COUNT(values); i++) {
        vault                 v;
        ckit_function_options options = one_function();
        vault_open(&v, true);
        options.raw = true;
        ckit_function *fn = function_of(v.f.cache, "test.raw", NULL, &options);
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, raw_call(fn, values[i], values[i]).source);
        ckit_slice stored = fake_only_value(v.f.store);
        CHECK_EQ_U(i == 0, memcmp(stored.ptr, "CK\x03", 3) == 0);
        CHECK(memmem(stored.ptr, stored.len, "some", 4) == NULL);
        CHECK_EQ_U(CKIT_SOURCE_MEMORY, raw_call(fn, S("x"), values[i]).source);
        ckit_cache_options also = v.f.options;
        other              o = other_of(&v, &also);
        ckit_function     *there = function_of(o.cache, "test.raw", NULL, &options);
        CHECK_EQ_U(CKIT_SOURCE_STORE, raw_call(there, S("x"), values[i]).source);
        ckit_function_close(there);
        other_close(&o);
        ckit_function_close(fn);
        vault_close(&v);
    }
    ckit_buf_fini(&foreign);
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
        vault              v;
        ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
        vault_open(&v, true);
        options.encoding = raw ? CKIT_RAW : CKIT_BYTES;
        CHECK_OK(ckit_cache_set(v.f.cache, S("greeting"), S("hello, hello"), &options, NULL));
        ckit_slice stored = fake_only_value(v.f.store);
        CHECK(memmem(stored.ptr, stored.len, "hello", 5) == NULL);
        check_entry(v.f.cache, "greeting", options.encoding, "hello, hello");
        other o = other_of(&v, &v.f.options);
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
        vault_close(&v);
    }
}

CKIT_TEST(sealing, an_altered_entry_by_key_is_a_miss_or_the_callers_to_see) {
    for (unsigned closed = 0; closed < 2; closed++) {
        vault      v;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        vault_prepare(&v);
        v.f.options.l1 = CKIT_OFF;
        v.f.options.fail_closed = closed ? CKIT_ON : CKIT_OFF;
        vault_start(&v, true);
        CHECK_OK(ckit_cache_set(v.f.cache, S("k"), S("value"), NULL, NULL));
        fake_damage(v.f.store, -1);
        CHECK_STATUS(closed ? CKIT_E_AUTH_TAG : CKIT_MISS, ckit_cache_get(v.f.cache, S("k"), NULL, &value, &err));
        CHECK_EQ_U(closed, fake_count(v.f.store));
        vault_close(&v);
    }
}

CKIT_TEST(sealing, all_who_wait_for_a_computation_are_given_its_value) {
    vault         v;
    threaded_call calls[4];
    memset(calls, 0, sizeof calls);
    vault_open(&v, true);
    loader_shut(&v.l);
    for (size_t i = 0; i < COUNT(calls); i++) {
        call_start(&calls[i], v.fn, 1);
    }
    wait_flight_waits(v.f.cache, COUNT(calls) - 1);
    loader_open(&v.l);
    for (size_t i = 0; i < COUNT(calls); i++) {
        CHECK_EQ_U(4711, call_join(&calls[i]).number);
    }
    CHECK_EQ_U(1, v.l.runs);
    vault_close(&v);
}

/* ---- memory that fails ------------------------------------------------------------------------------------------- */

CKIT_TEST(sealing, without_memory_a_call_still_gives_the_value_and_nothing_leaks) {
    for (uint64_t n = 0;; n++) {
        vault         v;
        failing_alloc fa;
        failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
        vault_prepare(&v);
        v.f.options.alloc = &fa.alloc;
        vault_start(&v, true);
        atomic_store(&fa.fail_at, atomic_load(&fa.requests) + n);
        answer first = call(v.fn, 1), second = call(v.fn, 1);
        bool   failed = failing_alloc_has_failed(&fa);
        atomic_store(&fa.fail_at, FAILING_ALLOC_NEVER);
        CHECKF(first.status == CKIT_OK ? first.number == 4711 : first.status == CKIT_E_NO_MEMORY, "request %llu",
               (unsigned long long)n);
        CHECKF(second.status == CKIT_OK ? second.number == 4711 : second.status == CKIT_E_NO_MEMORY, "request %llu",
               (unsigned long long)n);
        vault_close(&v);
        failing_alloc_check_empty(&fa);
        if (!failed) {
            break;
        }
    }
}
