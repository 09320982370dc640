/* NULL where something belongs, through the public headers: it is told, and nothing crashes. */
#include "support/test.h"

#include <cachekit/cachekit.h>

#include <string.h>

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* CKIT_E_MISUSE, with a story that says what is missing. */
#define REFUSED(call)                                                                                                  \
    do {                                                                                                               \
        ckit_error err = CKIT_ERROR_INIT;                                                                              \
        CHECK_STATUS(CKIT_E_MISUSE, (call));                                                                           \
        CHECKF(err.status == CKIT_E_MISUSE && strlen(err.text) > 0, "%s says nothing", #call);                         \
    } while (0)

static ckit_status load(void *context, ckit_load *given, ckit_error *err) {
    (void)context;
    (void)err;
    ckit_write_int(given->result, 1);
    return CKIT_OK;
}

static ckit_status load_many(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    (void)context;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        ckit_write_int(calls[i].result, 1);
    }
    return CKIT_OK;
}

static ckit_status see(void *context, const ckit_listed *entry) {
    (void)context;
    (void)entry;
    return CKIT_OK;
}

typedef struct bench {
    ckit_cache    *cache;
    ckit_function *fn;
} bench;

static void bench_open(bench *b) {
    CHECK_OK(ckit_cache_new(NULL, NULL, &b->cache, NULL));
    CHECK_OK(ckit_function_new(b->cache, "f", load, NULL, NULL, &b->fn, NULL));
}

static void bench_close(bench *b) {
    ckit_function_close(b->fn);
    ckit_cache_close(b->cache);
}

CKIT_TEST(misuse, of_a_cache_is_told) {
    bench            b;
    ckit_value       value = CKIT_VALUE_INIT;
    ckit_status      answer;
    const ckit_slice key = S("k");
    const ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    uint64_t         life_ms;
    bench_open(&b);
    REFUSED(ckit_cache_new(NULL, NULL, NULL, &err));
    REFUSED(ckit_cache_open("memory:", NULL, NULL, &err));
    REFUSED(ckit_cache_get(NULL, key, NULL, &value, &err));
    REFUSED(ckit_cache_get(b.cache, key, NULL, NULL, &err));
    REFUSED(ckit_cache_set(NULL, key, key, NULL, &err));
    REFUSED(ckit_cache_delete(NULL, key, NULL, &err));
    REFUSED(ckit_cache_exists(NULL, key, NULL, &err));
    REFUSED(ckit_cache_ttl(NULL, key, NULL, &life_ms, &err));
    REFUSED(ckit_cache_ttl(b.cache, key, NULL, NULL, &err));
    REFUSED(ckit_cache_touch(NULL, key, NULL, &err));
    REFUSED(ckit_cache_get_many(NULL, &key, 1, NULL, &value, &answer, &err));
    REFUSED(ckit_cache_get_many(b.cache, NULL, 1, NULL, &value, &answer, &err));
    REFUSED(ckit_cache_get_many(b.cache, &key, 1, NULL, NULL, &answer, &err));
    REFUSED(ckit_cache_get_many(b.cache, &key, 1, NULL, &value, NULL, &err));
    REFUSED(ckit_cache_invalidate(NULL, &all, NULL, &err));
    REFUSED(ckit_cache_invalidate(b.cache, NULL, NULL, &err));
    REFUSED(ckit_cache_list(NULL, &all, see, NULL, &err));
    REFUSED(ckit_cache_list(b.cache, NULL, see, NULL, &err));
    REFUSED(ckit_cache_list(b.cache, &all, NULL, NULL, &err));
    CHECK_OK(ckit_cache_get_many(b.cache, NULL, 0, NULL, NULL, NULL, NULL)); /* nothing is missing here */
    bench_close(&b);
}

CKIT_TEST(misuse, of_a_function_is_told) {
    bench            b;
    ckit_value       value = CKIT_VALUE_INIT;
    ckit_args        args;
    ckit_args *const calls[] = {&args};
    ckit_status      answer;
    ckit_buf         key = CKIT_BUF_INIT;
    ckit_function   *none;
    bench_open(&b);
    ckit_args_init(&args);
    REFUSED(ckit_function_new(NULL, "f", load, NULL, NULL, &none, &err));
    REFUSED(ckit_function_new(b.cache, NULL, load, NULL, NULL, &none, &err));
    REFUSED(ckit_function_new(b.cache, "f", load, NULL, NULL, NULL, &err));
    REFUSED(ckit_call(NULL, &args, &value, &err));
    REFUSED(ckit_call(b.fn, &args, NULL, &err));
    REFUSED(ckit_call_many(NULL, calls, 1, load_many, NULL, &value, &answer, &err));
    CHECK_STATUS(CKIT_E_MISUSE, answer);
    REFUSED(ckit_call_many(b.fn, NULL, 1, load_many, NULL, &value, &answer, &err));
    REFUSED(ckit_call_many(b.fn, calls, 1, load_many, NULL, NULL, &answer, &err));
    REFUSED(ckit_call_many(b.fn, calls, 1, load_many, NULL, &value, NULL, &err));
    REFUSED(ckit_refresh(NULL, &args, &value, &err));
    REFUSED(ckit_invalidate(NULL, &args, &err));
    REFUSED(ckit_function_invalidate(NULL, NULL, &err));
    REFUSED(ckit_function_key(NULL, &args, &key, &err));
    REFUSED(ckit_function_key(b.fn, &args, NULL, &err));
    CHECK_STATUS(CKIT_MISS, ckit_peek(NULL, &args, &value));
    CHECK_STATUS(CKIT_MISS, ckit_peek(b.fn, &args, NULL));
    CHECK_OK(ckit_call(b.fn, NULL, &value, NULL)); /* these may be NULL: arguments, and where nobody wants the value */
    ckit_value_fini(&value);
    CHECK_OK(ckit_refresh(b.fn, NULL, NULL, NULL));
    CHECK_OK(ckit_call_many(b.fn, NULL, 0, NULL, NULL, NULL, NULL, NULL));
    ckit_args_fini(&args);
    bench_close(&b);
}

CKIT_TEST(misuse, of_operations_and_batches_is_told) {
    bench            b;
    ckit_poll       *poll;
    ckit_op         *op;
    ckit_batch      *batch;
    ckit_value       value = CKIT_VALUE_INIT;
    ckit_result      result = CKIT_RESULT_INIT;
    ckit_start       start = CKIT_START_INIT;
    ckit_batch_start many = CKIT_BATCH_START_INIT;
    size_t           count = 9;
    bench_open(&b);
    REFUSED(ckit_poll_new(NULL, &poll, &err));
    REFUSED(ckit_poll_new(b.cache, NULL, &err));
    REFUSED(ckit_begin(NULL, &op, &value, &err));
    REFUSED(ckit_begin(&start, &op, &value, &err)); /* no function */
    start.function = b.fn;
    REFUSED(ckit_begin(&start, NULL, &value, &err));
    REFUSED(ckit_begin(&start, &op, NULL, &err));
    REFUSED(ckit_op_claim(NULL, NULL, NULL, NULL, &err));
    REFUSED(ckit_finish(NULL, &result, &value, &err));
    REFUSED(ckit_op_overdue(NULL, false, &value, &err));
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    REFUSED(ckit_finish(op, NULL, &value, &err));
    REFUSED(ckit_op_overdue(op, false, NULL, &err));
    ckit_op_free(op);

    REFUSED(ckit_begin_many(NULL, &batch, &err));
    REFUSED(ckit_begin_many(&many, &batch, &err)); /* no function */
    many.function = b.fn;
    REFUSED(ckit_begin_many(&many, NULL, &err));
    many.count = 1;
    REFUSED(ckit_begin_many(&many, &batch, &err)); /* no arguments */
    CHECK_STATUS(CKIT_E_MISUSE, ckit_batch_wait(NULL));
    REFUSED(ckit_finish_many(NULL, CKIT_OK, &err));
    REFUSED(ckit_batch_take(NULL, 0, &value, &err));
    REFUSED(ckit_batch_overdue(NULL, 0, false, &value, &err));
    CHECK(ckit_batch_missing(NULL, &count) == NULL);
    CHECK_EQ_U(0, count);
    many.count = 0;
    CHECK_OK(ckit_begin_many(&many, &batch, NULL));
    REFUSED(ckit_batch_take(batch, 0, NULL, &err));
    ckit_batch_free(batch);
    bench_close(&b);
}

CKIT_TEST(misuse, of_stores_guards_and_keys_is_told) {
    ckit_backend        *backend, *other;
    ckit_guard          *guard;
    ckit_keyring        *ring;
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_guard_pass      pass;
    ckit_buf             out = CKIT_BUF_INIT;
    const ckit_slice     bytes = S("bytes");
    ckit_seal_subject    subject;
    const ckit_key_spec  spec = {.function = S("f")};
    ckit_key_prefix      prefix;
    ckit_frame           frame;
    CHECK_OK(ckit_memory_open(NULL, NULL, &backend, NULL));
    CHECK_OK(ckit_guard_new(NULL, NULL, &guard, NULL));
    options.master_key_hex = KEY_HEX;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    memset(&subject, 0, sizeof subject);

    REFUSED(ckit_backend_new(NULL, NULL, NULL, &other, &err));
    REFUSED(ckit_backend_new(ckit_backend_operations(backend), NULL, NULL, NULL, &err));
    REFUSED(ckit_backend_open("memory:", NULL, NULL, &err));
    REFUSED(ckit_backend_guard(NULL, NULL, NULL, &other, &err));
    REFUSED(ckit_memory_open(NULL, NULL, NULL, &err));
    REFUSED(ckit_file_open(NULL, NULL, NULL, &err));
    REFUSED(ckit_file_open(NULL, NULL, &other, &err));
    REFUSED(ckit_redis_open(NULL, NULL, NULL, &err));
    REFUSED(ckit_redis_open(NULL, NULL, &other, &err));
    REFUSED(ckit_guard_new(NULL, NULL, NULL, &err));
    REFUSED(ckit_guard_enter(NULL, &pass, NULL, &err));
    REFUSED(ckit_guard_enter(guard, NULL, NULL, &err));
    REFUSED(ckit_guard_notices(NULL, NULL, NULL, &err));
    REFUSED(ckit_rotate(NULL, ring, NULL, NULL, &err));
    REFUSED(ckit_keyring_open(&options, NULL, &err));
    REFUSED(ckit_keyring_from_environment(false, NULL, NULL, &err));
    REFUSED(ckit_keyring_fingerprint(NULL, bytes, NULL, &err));
    REFUSED(ckit_keyring_fingerprint(ring, bytes, NULL, &err));
    REFUSED(ckit_seal(NULL, &subject, bytes, &out, &err));
    REFUSED(ckit_seal(ring, NULL, bytes, &out, &err));
    REFUSED(ckit_seal(ring, &subject, bytes, NULL, &err));
    REFUSED(ckit_unseal(NULL, &subject, bytes, bytes, 0, &out, &err));
    REFUSED(ckit_unseal(ring, NULL, bytes, bytes, 0, &out, &err));
    REFUSED(ckit_unseal(ring, &subject, bytes, bytes, 0, NULL, &err));
    REFUSED(ckit_settings_from_environment(NULL, NULL, &err));
    REFUSED(ckit_envelope_store(bytes, bytes, NULL, NULL, &err));
    REFUSED(ckit_envelope_open(bytes, NULL, NULL, NULL, &err));
    REFUSED(ckit_frame_write(NULL, &out, &err));
    REFUSED(ckit_frame_parse(bytes, NULL, &out, &err));
    REFUSED(ckit_frame_parse(bytes, &frame, NULL, &err));
    REFUSED(ckit_key_automatic(NULL, bytes, &out, &err));
    REFUSED(ckit_key_automatic(&spec, bytes, NULL, &err));
    REFUSED(ckit_key_prefix_init(&prefix, NULL, NULL, &err));
    REFUSED(ckit_key_from_prefix(NULL, bytes, &out, &err));
    REFUSED(ckit_key_from_prefix(&prefix, bytes, NULL, &err));
    REFUSED(ckit_key_function(bytes, NULL, &err));
    REFUSED(ckit_key_custom(bytes, bytes, NULL, &err));
    REFUSED(ckit_interop_key(bytes, bytes, bytes, NULL, &err));
    REFUSED(ckit_interop_value_normalise(bytes, NULL, &err));

    ckit_keyring_close(ring);
    ckit_guard_release(guard);
    ckit_backend_close(backend);
}

/* What gives no status has nothing to give, and does nothing. */
CKIT_TEST(misuse, of_what_gives_no_status_does_nothing) {
    ckit_health health;
    ckit_cache_get_stats(NULL, NULL);
    CHECK(!ckit_interop_key_describe(S("a:b:c"), NULL));
    ckit_function_get_stats(NULL, NULL);
    ckit_guard_get_stats(NULL, NULL);
    ckit_guard_get_options(NULL, NULL);
    ckit_guard_reset(NULL);
    ckit_guard_leave(NULL, NULL, CKIT_KIND_NONE);
    ckit_guard_record(NULL, false, 1);
    ckit_cache_health(NULL, NULL);
    ckit_cache_health(NULL, &health);
    CHECK(!health.healthy && strlen(health.detail) > 0);
    CHECK(!ckit_cache_get_guard_stats(NULL, NULL) && !ckit_backend_guard_stats(NULL, NULL));
    CHECK(!ckit_backend_guard_reset(NULL) && !ckit_keyring_can_seal(NULL) && !ckit_op_computes(NULL));
    CHECK(ckit_cache_backend(NULL) == NULL && ckit_backend_get_guard(NULL) == NULL && ckit_op_error(NULL) == NULL);
    CHECK(ckit_backend_operations(NULL) == NULL && ckit_backend_self(NULL) == NULL && ckit_backend_name(NULL) == NULL);
    CHECK_EQ_I(-1, ckit_poll_fd(NULL));
    CHECK_EQ_U(0, ckit_poll_dispatch(NULL));
    ckit_op_take(NULL, NULL);
    ckit_op_move_here(NULL);
    CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(NULL, 0));
    CHECK_STR("", ckit_settings_get_text(NULL, 0, NULL, 0));
}

CKIT_TEST(misuse, is_not_what_closes_or_frees_nothing) {
    ckit_function_close(NULL);
    ckit_poll_close(NULL);
    ckit_op_free(NULL);
    ckit_batch_free(NULL);
    ckit_cache_close(NULL);
    ckit_backend_close(NULL);
    ckit_guard_release(NULL);
    ckit_keyring_close(NULL);
    ckit_value_fini(NULL);
    ckit_args_fini(NULL);
    ckit_buf_fini(NULL);
}
