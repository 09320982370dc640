/* Every request for memory fails in turn: nothing leaks, and what comes back is right or a clean status. */
#include "cache/cache_fixture.h"

#include "support/failing_alloc.h"

#include <cachekit/interop.h>

#include <poll.h>

typedef struct scene {
    fixture       f;
    failing_alloc memory;
    loader        l;
} scene;

static bool is_clean(ckit_status st) { return st == CKIT_OK || st == CKIT_MISS || st == CKIT_E_NO_MEMORY; }

#define CHECK_CLEAN(call)                                                                                              \
    do {                                                                                                               \
        ckit_status clean_st = (call);                                                                                 \
        CHECKF(is_clean(clean_st), "%s gave %s", #call, ckit_status_name(clean_st));                                   \
    } while (0)

static void check_number(ckit_status st, ckit_value *value, uint64_t number) {
    CHECK(is_clean(st));
    if (st == CKIT_OK) {
        CHECK_EQ_U(number, read_number(value));
    } else {
        CHECK(value->data.len == 0 && value->release == NULL);
    }
    ckit_value_fini(value);
}

static void use_function(scene *s, ckit_cache *cache) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn;
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_buf              key = {.alloc = &s->memory.alloc};
    ckit_error            err = CKIT_ERROR_INIT;
    options.namespace_name = "ns";
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    ckit_status st = ckit_function_new(cache, "test.load", loader_run, &s->l, &options, &fn, &err);
    if (st != CKIT_OK) {
        CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, st, &err);
        return;
    }
    for (int i = 0; i < 3; i++) {
        check_number(ckit_call(fn, NULL, &value, &err), &value, 1);
    }
    fake_clock_advance(&s->f.time, 1500);
    check_number(ckit_call(fn, NULL, &value, &err), &value, 1); /* stale: a refresh in the background */
    CHECK_CLEAN(ckit_refresh(fn, NULL, &value, &err));
    ckit_value_fini(&value);
    CHECK_CLEAN(ckit_function_key(fn, NULL, &key, &err));
    CHECK_CLEAN(ckit_invalidate(fn, NULL, &err));
    check_number(ckit_call(fn, NULL, &value, &err), &value, 1);
    CHECK_CLEAN(ckit_function_invalidate(fn, NULL, &err));
    ckit_buf_fini(&key);
    ckit_function_close(fn);
}

static ckit_status load_many(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    const scene *s = context;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        write_number(calls[i].result, 1, s->l.size);
    }
    return CKIT_OK;
}

/* The same in two halves, of calls that have been forgotten. */
static void begin_many(scene *s, ckit_function *fn, ckit_args *const *calls, size_t count) {
    ckit_batch_start start = {.struct_size = sizeof start, .function = fn, .args = calls, .count = count};
    ckit_batch      *batch;
    ckit_error       err = CKIT_ERROR_INIT;
    CHECK_CLEAN(ckit_function_invalidate(fn, NULL, NULL));
    ckit_status st = ckit_begin_many(&start, &batch, &err);
    if (st == CKIT_COMPUTE) {
        size_t           missing;
        ckit_batch_call *each = ckit_batch_missing(batch, &missing);
        st = ckit_finish_many(batch, load_many(s, each, missing, &err), &err);
    }
    CHECK_CLEAN(st);
    for (size_t i = 0; batch != NULL && i < count; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        check_number(ckit_batch_take(batch, i, &value, NULL), &value, 1);
    }
    ckit_batch_free(batch);
}

static void use_many(scene *s, ckit_cache *cache, bool limited) {
    enum { COUNT = 6 };
    ckit_args             args[COUNT];
    ckit_args            *calls[COUNT];
    ckit_value            out[COUNT];
    ckit_status           answers[COUNT];
    ckit_function        *fn;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.hard_limit_ms = limited ? 60000 : 0;
    options.fail_safe_ms = limited ? 0 : 1000;
    if (ckit_function_new(cache, "test.many", NULL, NULL, &options, &fn, &err) != CKIT_OK) {
        CHECK_STATUS(CKIT_E_NO_MEMORY, err.status);
        return;
    }
    for (int i = 0; i < COUNT; i++) {
        ckit_args_init_alloc(&args[i], &s->memory.alloc);
        ckit_args_int(&args[i], i % 4);
        calls[i] = &args[i];
        ckit_value_init(&out[i]);
    }
    for (int round = 0; round < 2; round++) {
        CHECK_CLEAN(ckit_call_many(fn, calls, COUNT, load_many, s, out, answers, &err));
        for (int i = 0; i < COUNT; i++) {
            check_number(answers[i], &out[i], 1);
        }
    }
    begin_many(s, fn, calls, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ckit_args_fini(&args[i]);
    }
    ckit_function_close(fn);
}

/* In interop mode: arguments and values in canonical form, of which some memory is asked for on the way. */
static void use_shared(scene *s, ckit_cache *cache) {
    static const char     key[] = "ns:get:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875";
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_entry_options    entry = CKIT_ENTRY_OPTIONS_INIT;
    ckit_interop_args     values;
    ckit_args             args;
    ckit_function        *fn;
    ckit_value            value = CKIT_VALUE_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    options.namespace_name = "ns";
    options.interop = "get";
    entry.encoding = CKIT_INTEROP;
    if (ckit_function_new(cache, "test.load", loader_run, &s->l, &options, &fn, &err) != CKIT_OK) {
        CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, err.status, &err);
        return;
    }
    ckit_interop_args_init(&values, &s->memory.alloc);
    ckit_args_init_alloc(&args, &s->memory.alloc);
    ckit_interop_args_map(&values, 2);
    for (int i = 2; i-- > 0;) {
        ckit_interop_args_str(&values, ckit_slice_of(&"ba"[i], 1));
        ckit_interop_args_str(&values, S(key));
    }
    ckit_args_interop(&args, &values);
    for (int i = 0; i < 2; i++) {
        check_number(ckit_call(fn, &args, &value, &err), &value, 1);
    }
    CHECK_CLEAN(ckit_invalidate(fn, &args, &err));
    CHECK_CLEAN(ckit_cache_set(cache, S(key), S("\x82\xa1z\x01\xa1y\xcc\x02"), &entry, &err));
    ckit_status st = ckit_cache_get(cache, S(key), &entry, &value, &err);
    CHECK_CLEAN(st);
    CHECK(st != CKIT_OK || ckit_slice_equal(S("\x82\xa1y\x02\xa1z\x01"), value.data));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    ckit_interop_args_fini(&values);
    ckit_function_close(fn);
}

static void use_entries(ckit_cache *cache) {
    enum { COUNT = 40 };
    char        names[COUNT][2];
    ckit_slice  keys[COUNT];
    ckit_value  out[COUNT];
    ckit_status answers[COUNT];
    uint64_t    life_ms;
    ckit_error  err = CKIT_ERROR_INIT;
    for (int i = 0; i < COUNT; i++) {
        names[i][0] = (char)('0' + i);
        keys[i] = ckit_slice_of(names[i], 1);
        ckit_value_init(&out[i]);
        if (i % 2 == 0) {
            CHECK_CLEAN(ckit_cache_set(cache, keys[i], keys[i], NULL, &err));
        }
    }
    CHECK_CLEAN(ckit_cache_get_many(cache, keys, COUNT, NULL, out, answers, &err));
    for (int i = 0; i < COUNT; i++) {
        CHECK(is_clean(answers[i]));
        if (answers[i] == CKIT_OK) {
            CHECK_BYTES(keys[i], out[i].data);
        }
        ckit_value_fini(&out[i]);
    }
    for (int i = 0; i < 4; i++) {
        ckit_status st = ckit_cache_get(cache, keys[i], NULL, &out[0], &err);
        CHECK(is_clean(st));
        if (st == CKIT_OK) {
            CHECK_BYTES(keys[i], out[0].data);
        }
        ckit_value_fini(&out[0]);
    }
    CHECK_CLEAN(ckit_cache_exists(cache, keys[0], NULL, &err));
    CHECK_CLEAN(ckit_cache_ttl(cache, keys[0], NULL, &life_ms, &err));
    CHECK_CLEAN(ckit_cache_touch(cache, keys[0], NULL, &err));
    CHECK_CLEAN(ckit_cache_delete(cache, keys[0], NULL, &err));
    ckit_scope scope = {.kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("ns"), .function = S("test.load")};
    CHECK_CLEAN(ckit_cache_invalidate(cache, &scope, NULL, &err));
}

typedef struct pending {
    bool       done;
    ckit_value value;
} pending;

static void finish(pending *p, ckit_op *op) {
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x05")};
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = ckit_finish(op, &result, &p->value, &err);
    if (st == CKIT_PENDING) {
        return;
    }
    CHECK(is_clean(st));
    p->done = true;
    ckit_op_free(op);
}

static void on_ready(void *context, ckit_op *op, ckit_status st) {
    pending *p = context;
    if (st == CKIT_COMPUTE) {
        finish(p, op);
        return;
    }
    CHECK_OK(st);
    ckit_op_take(op, &p->value);
    ckit_op_free(op);
    p->done = true;
}

static void use_poll(scene *s, ckit_cache *cache) {
    ckit_poll     *poller;
    ckit_function *fn;
    ckit_error     err = CKIT_ERROR_INIT;
    pending        p[3];
    memset(p, 0, sizeof p);
    if (ckit_poll_new(cache, &poller, &err) != CKIT_OK) {
        CHECK_STATUS(CKIT_E_NO_MEMORY, err.status);
        return;
    }
    if (ckit_function_new(cache, "test.polled", NULL, NULL, NULL, &fn, &err) == CKIT_OK) {
        for (int i = 0; i < 3; i++) {
            ckit_start start = {
                .struct_size = sizeof start, .function = fn, .poll = poller, .ready = on_ready, .context = &p[i]};
            ckit_op    *op;
            ckit_status st = ckit_begin(&start, &op, &p[i].value, &err);
            p[i].done = st == CKIT_OK || st == CKIT_E_NO_MEMORY;
            CHECK(p[i].done || st == CKIT_COMPUTE || st == CKIT_PENDING);
            if (st == CKIT_COMPUTE) {
                finish(&p[i], op);
            }
        }
        for (int i = 0; i < 3; i++) {
            for (int turns = 0; !p[i].done; turns++) {
                struct pollfd watched = {.fd = ckit_poll_fd(poller), .events = POLLIN};
                CHECK(turns < 10000);
                if (poll(&watched, 1, 5) == 0) {
                    fake_clock_advance(&s->f.time, 5); /* one may wait for the store's lock */
                }
                (void)ckit_poll_dispatch(poller);
            }
            if (p[i].value.data.len > 0) {
                CHECK_BYTES(S("\x05"), p[i].value.data);
            }
            ckit_value_fini(&p[i].value);
        }
    } else {
        CHECK_STATUS(CKIT_E_NO_MEMORY, err.status);
    }
    ckit_function_close(fn);
    ckit_poll_close(poller);
}

/* Returns false when no request failed any more. */
static bool run_with_failure(uint64_t fail_at, bool from_then_on, bool store, size_t size) {
    scene       s;
    ckit_cache *cache;
    ckit_error  err = CKIT_ERROR_INIT;
    fixture_prepare(&s.f);
    s.f.store = fake_store_open(&s.f.time);
    s.f.options.l1_max_bytes = 1 << 20;
    s.f.options.workers = 2;
    s.f.options.queue_max = 64;
    loader_init(&s.l);
    s.l.size = size;
    failing_alloc_init(&s.memory, fail_at);
    s.memory.fail_on = from_then_on;
    s.f.options.alloc = &s.memory.alloc;
    ckit_status st =
        ckit_cache_new(&s.f.options, store ? fake_connect(s.f.store, FAKE_LOCKING_MANY) : NULL, &cache, &err);
    if (st == CKIT_OK) {
        use_function(&s, cache);
        use_shared(&s, cache);
        use_many(&s, cache, false);
        use_many(&s, cache, true);
        use_entries(cache);
        use_poll(&s, cache);
        ckit_cache_close(cache);
    } else {
        CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, st, &err);
    }
    failing_alloc_check_empty(&s.memory);
    CHECK(!fake_is_locked(s.f.store));
    fake_store_close(s.f.store);
    return failing_alloc_has_failed(&s.memory);
}

static void fail_each(bool from_then_on, bool store, size_t size) {
    uint64_t n = 0;
    while (run_with_failure(n, from_then_on, store, size)) {
        n++;
        CHECK(n < 10000);
    }
    CHECK(n > 20);
}

CKIT_TEST(allocation, any_one_may_fail_with_a_store) { fail_each(false, true, 0); }
CKIT_TEST(allocation, any_one_may_fail_with_large_values) { fail_each(false, true, 20000); }
CKIT_TEST(allocation, any_one_may_fail_without_a_store) { fail_each(false, false, 0); }
CKIT_TEST(allocation, memory_may_be_gone_from_any_moment_on) {
    fail_each(true, true, 20000);
    fail_each(true, false, 0);
}
