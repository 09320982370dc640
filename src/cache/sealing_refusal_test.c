/* Sealed values that do not open, and keys that change: what the caller gets, and what becomes of the entry. */
#include "cache/sealing_fixture.h"

/* ---- what does not open ------------------------------------------------------------------------------------------ */

static uint64_t failures_in_store(const ckit_cache_stats *stats) {
    return stats->auth_failures_l2 + stats->suspicious_l2 + stats->sealed_corrupt_l2;
}

CKIT_TEST(sealing, every_changed_bit_of_an_entry_is_a_miss_that_is_classified_and_never_another_value) {
    vault v;
    vault_prepare(&v);
    v.f.options.l1 = CKIT_OFF;
    v.f.options.lock = CKIT_OFF; /* one look for each call */
    vault_start(&v, true);
    v.l.size = 0;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    ckit_buf key = key_of(v.fn, 1), good = {0}, bad = {0};
    CHECK_OK(ckit_buf_append(&good, fake_only_value(v.f.store)));
    CHECK_OK(ckit_buf_append(&bad, fake_only_value(v.f.store)));
    uint64_t malformed = 0;
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        ckit_cache_stats before = stats_of(v.f.cache);
        bad.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fake_put(v.f.store, ckit_buf_slice(&key), ckit_buf_slice(&bad), 5000);
        bad.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        answer a = call(v.fn, 1);
        CHECKF(a.status == CKIT_OK && a.source == CKIT_SOURCE_FUNCTION && a.number == 4711, "bit %zu", bit);
        ckit_cache_stats after = stats_of(v.f.cache);
        CHECKF(after.l2_corrupt == before.l2_corrupt + 1, "bit %zu", bit);
        malformed += failures_in_store(&after) == failures_in_store(&before);
    }
    ckit_cache_stats all = stats_of(v.f.cache);
    CHECK_EQ_U(good.len * 8, failures_in_store(&all) + malformed);
    CHECK(all.auth_failures_l2 >= (CKIT_SEAL_OVERHEAD + 4) * 8u); /* nonce, ciphertext and tag */
    CHECK(malformed < 200 * 8);
    fake_put(v.f.store, ckit_buf_slice(&key), ckit_buf_slice(&good), 5000);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, v.fn, 1);
    ckit_buf_fini(&key);
    ckit_buf_fini(&good);
    ckit_buf_fini(&bad);
    vault_close(&v);
}

CKIT_TEST(sealing, failing_open_removes_an_altered_entry_and_computes_again) {
    vault v;
    vault_prepare(&v);
    v.f.options.l1 = CKIT_OFF;
    vault_start(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    fake_damage(v.f.store, -1);
    fake_fail(v.f.store, FAKE_SET, CKIT_E_IO, 1); /* so that the removal is seen */
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK_EQ_U(0, fake_count(v.f.store));
    CHECK_EQ_U(1, stats_of(v.f.cache).auth_failures_l2);
    vault_close(&v);
}

CKIT_TEST(sealing, failing_closed_tells_the_caller_and_keeps_the_entry_as_evidence) {
    vault v;
    vault_prepare(&v);
    v.f.options.l1 = CKIT_OFF;
    v.f.options.fail_closed = CKIT_ON;
    vault_start(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    fake_damage(v.f.store, -1);
    for (unsigned i = 1; i <= 2; i++) {
        answer a = call(v.fn, 1);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.status);
        CHECK_STATUS(CKIT_E_AUTH_TAG, a.error.status);
        CHECK_EQ_U(i, stats_of(v.f.cache).auth_failures_l2);
    }
    CHECK_EQ_U(1, fake_count(v.f.store));
    CHECK_EQ_U(1, v.l.runs);
    CHECK(!fake_is_locked(v.f.store));
    vault_close(&v);
}

CKIT_TEST(sealing, failing_closed_tells_a_caller_who_polls_as_well) {
    for (int kind = FAKE_LOCKING; kind <= FAKE_SUBMITTING; kind++) {
        vault      v;
        ckit_op   *op = NULL;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        vault_prepare(&v);
        v.f.options.l1 = CKIT_OFF;
        v.f.options.fail_closed = CKIT_ON;
        fixture_start(&v.f, (fake_kind)kind);
        loader_init(&v.l);
        ckit_function_options options = one_function();
        v.fn = function_of(v.f.cache, "test.load", &v.l, &options);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, v.fn, 1);
        fake_damage(v.f.store, -1);
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_int(&args, 1);
        ckit_start start = {.struct_size = sizeof start, .function = v.fn, .args = &args};
        CHECK_STATUS(CKIT_E_AUTH_TAG, ckit_begin(&start, &op, &value, &err)); /* without a poll */
        CHECK_STATUS(CKIT_E_AUTH_TAG, err.status);
        CHECK_EQ_P(NULL, op);
        ckit_args_fini(&args);
        vault_close(&v);
    }
}

CKIT_TEST(sealing, an_altered_copy_in_memory_is_dropped_and_the_policy_of_the_cache_holds) {
    for (unsigned closed = 0; closed < 2; closed++) {
        vault      v;
        ckit_value held = CKIT_VALUE_INIT;
        vault_prepare(&v);
        v.f.options.fail_closed = closed ? CKIT_ON : CKIT_OFF;
        vault_start(&v, true);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
        vault_look(&v, &held);
        ckit_buf bad = {0};
        CHECK_OK(ckit_buf_append(&bad, held.data));
        ckit_value_fini(&held);
        bad.ptr[bad.len - 1] ^= 1;
        vault_plant(&v, ckit_buf_slice(&bad));
        if (closed) {
            CHECK_STATUS(CKIT_E_AUTH_TAG, call(v.fn, 1).status);
        }
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, v.fn, 1);
        CHECK_EQ_U(1, stats_of(v.f.cache).auth_failures_l1);
        CHECK_EQ_U(0, stats_of(v.f.cache).auth_failures_l2);
        ckit_buf_fini(&bad);
        vault_close(&v);
    }
}

CKIT_TEST(sealing, an_entry_in_the_clear_is_suspicious_and_removed_also_when_failing_closed) {
    vault v;
    vault_prepare(&v);
    v.f.options.encryption = CKIT_OFF;
    vault_start(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    ckit_cache_options options = v.f.options;
    options.encryption = CKIT_ON;
    options.fail_closed = CKIT_ON;
    other o = other_of(&v, &options);
    v.l.result = 5;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 5, o.fn, 1);
    CHECK_EQ_U(1, stats_of(o.cache).suspicious_l2);
    CHECK(!contains(fake_only_value(v.f.store), 5));
    other_close(&o);
    vault_close(&v);
}

CKIT_TEST(sealing, an_entry_under_another_name_does_not_open) {
    vault v;
    vault_open(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    ckit_buf moved = {0}, key = key_of(v.fn, 2);
    CHECK_OK(ckit_buf_append(&moved, fake_only_value(v.f.store)));
    fake_put(v.f.store, ckit_buf_slice(&key), ckit_buf_slice(&moved), 5000);
    v.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, v.fn, 2);
    CHECK_EQ_U(1, stats_of(v.f.cache).auth_failures_l2);
    ckit_buf_fini(&moved);
    ckit_buf_fini(&key);
    vault_close(&v);
}

CKIT_TEST(sealing, an_entry_whose_name_has_one_changed_bit_does_not_open) {
    vault      v;
    uint8_t    name[] = "users:42";
    ckit_slice key = ckit_slice_of(name, sizeof name - 1);
    ckit_buf   moved = {0};
    vault_open(&v, true);
    CHECK_OK(ckit_cache_set(v.f.cache, key, S("value"), NULL, NULL));
    CHECK_OK(ckit_buf_append(&moved, fake_only_value(v.f.store)));
    for (size_t bit = 0; bit < 8 * key.len; bit++) {
        ckit_value value = CKIT_VALUE_INIT;
        name[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fake_put(v.f.store, key, ckit_buf_slice(&moved), 5000);
        CHECK_STATUS(CKIT_MISS, ckit_cache_get(v.f.cache, key, NULL, &value, NULL));
        CHECK_EQ_U(bit + 1, stats_of(v.f.cache).auth_failures_l2);
        name[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ckit_buf_fini(&moved);
    vault_close(&v);
}

CKIT_TEST(sealing, entries_of_another_deployment_open_unless_ours_was_configured) {
    for (unsigned configured = 0; configured < 2; configured++) {
        vault v;
        vault_prepare(&v);
        v.f.options.deployment_id = "somebody";
        vault_start(&v, true);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
        ckit_cache_options options = v.f.options;
        options.deployment_id = configured ? TENANT : NULL;
        other o = other_of(&v, &options);
        CHECK_CALL(configured ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_STORE, 4711, o.fn, 1);
        CHECK_EQ_U(configured, stats_of(o.cache).auth_failures_l2);
        other_close(&o);
        vault_close(&v);
    }
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(sealing, after_a_rotation_old_entries_open_and_new_ones_need_the_new_key) {
    vault v;
    vault_open(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    ckit_cache_options options = v.f.options;
    options.keyring = ring_of(KEY_B, KEY_A);
    other rotated = other_of(&v, &options);
    CHECK_CALL(CKIT_SOURCE_STORE, 4711, rotated.fn, 1);
    v.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, rotated.fn, 2);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, v.fn, 2); /* the old key alone does not open it */
    CHECK_EQ_U(1, stats_of(v.f.cache).auth_failures_l2);
    other_close(&rotated);
    ckit_keyring_close((ckit_keyring *)options.keyring);
    vault_close(&v);
}

CKIT_TEST(sealing, a_result_that_cannot_be_sealed_any_more_is_given_and_kept_nowhere) {
    vault                v;
    ckit_keyring_options keys = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *spent = NULL;
    vault_prepare(&v);
    keys.master_key_hex = KEY_B;
    keys.max_seals_per_key = 1;
    keys.log = &quiet_log;
    CHECK_OK(ckit_keyring_open(&keys, &spent, NULL));
    v.f.options.keyring = spent;
    vault_start(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 2);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 2);
    CHECK_EQ_U(1, fake_count(v.f.store));
    CHECK_EQ_U(2, stats_of(v.f.cache).not_sealed);
    vault_close(&v);
    ckit_keyring_close(spent);
}

CKIT_TEST(sealing, with_encryption_off_a_sealed_entry_is_opened_counted_and_warned_of_once_for_a_key) {
    vault v;
    vault_open(&v, true);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 4711, v.fn, 2);
    ckit_cache_options options = v.f.options;
    options.encryption = CKIT_OFF;
    options.l1 = CKIT_OFF;
    other    o = other_of(&v, &options);
    unsigned before = v.f.log.lines;
    for (int i = 0; i < 3; i++) {
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 1);
        CHECK_CALL(CKIT_SOURCE_STORE, 4711, o.fn, 2);
    }
    CHECK_EQ_U(6, stats_of(o.cache).encryption_drift);
    CHECK_EQ_U(before + 2, v.f.log.lines);
    CHECK_CONTAINS("encryption is off here", v.f.log.text);
    other_close(&o);
    options.keyring = NULL;
    other keyless = other_of(&v, &options);
    v.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, keyless.fn, 1);
    other_close(&keyless);
    vault_close(&v);
}
