/* A cache whose store is guarded: what trouble there costs, and how it ends. */
#include "cache/poll_fixture.h"

static const ckit_guard_options no_retries = {.struct_size = sizeof(ckit_guard_options), .retry = CKIT_OFF};

static void open_guarded(fixture *f, fake_kind kind, const ckit_guard_options *guard) {
    fixture_prepare(f);
    f->options.guard = guard;
    fixture_start(f, kind);
}

static ckit_guard_stats guard_of(ckit_cache *cache) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_cache_get_guard_stats(cache, &stats));
    return stats;
}

static void fail_everything(fake_store *store) {
    for (fake_op op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(store, op, CKIT_E_UNREACHABLE, UINT64_MAX);
    }
}

static void heal_everything(fake_store *store) {
    for (fake_op op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(store, op, CKIT_OK, 0);
    }
}

/* Calls of arguments from 1000 on, until the store has failed often enough. */
static void break_circuit(fixture *f, ckit_function *fn) {
    fail_everything(f->store);
    for (int64_t i = 1000; guard_of(f->cache).state != CKIT_BREAKER_OPEN; i++) {
        CHECK_STATUS(CKIT_OK, call(fn, i).status);
        CHECK_BETWEEN_U(0, 1010, (uint64_t)i);
    }
    fake_forget_calls(f->store);
}

CKIT_TEST(guarded, defect_8_an_open_circuit_costs_the_store_and_nothing_else) {
    fixture f;
    loader  l;
    open_guarded(&f, FAKE_LOCKING, &no_retries);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    break_circuit(&f, fn);
    ckit_cache_stats before = stats_of(f.cache);
    unsigned         lines = f.log.lines;
    uint64_t         refused = guard_of(f.cache).refused;
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
    for (int64_t i = 0; i < 50; i++) {
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 100 + i);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 100 + i);
    }
    CHECK_STR("", fake_log(f.store)); /* neither asked, nor locked, nor written */
    CHECK_EQ_U(before.l2_errors, stats_of(f.cache).l2_errors);
    CHECK_EQ_U(lines, f.log.lines);
    CHECK_EQ_U(refused + 100, guard_of(f.cache).refused); /* one look and one write each */
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(guarded, when_the_store_is_back_it_is_used_again_by_itself) {
    fixture f;
    loader  l;
    open_guarded(&f, FAKE_LOCKING, &no_retries);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    break_circuit(&f, fn);
    heal_everything(f.store);
    fake_clock_advance(&f.time, 30000);
    (void)call(fn, 1);
    CHECK_EQ_U(0, fake_count(f.store)); /* not yet */
    fake_clock_advance(&f.time, 1);
    (void)call(fn, 2); /* look, lock, look, write */
    CHECK_EQ_U(1, fake_count(f.store));
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, guard_of(f.cache).state);
    CHECK_EQ_U(1, guard_of(f.cache).closed);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(guarded, a_store_that_is_still_down_is_tried_once_a_recovery_time) {
    fixture f;
    loader  l;
    open_guarded(&f, FAKE_LOCKING, &no_retries);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    break_circuit(&f, fn);
    for (int64_t i = 0; i < 300; i++) { /* ten minutes */
        fake_clock_advance(&f.time, 2001);
        CHECK_STATUS(CKIT_OK, call(fn, i).status);
    }
    CHECK_BETWEEN_U(15, 20, fake_calls(f.store, FAKE_GET));
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_SET));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(guarded, in_an_event_loop_an_open_circuit_means_compute_at_once) {
    static const fake_kind kinds[] = {FAKE_REQUIRED, FAKE_LOCKING, FAKE_SUBMITTING, FAKE_SUBMITTING_AT_ONCE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        loop    lp;
        pending p = {.number = 5}, q = {.number = 6};
        fixture_prepare(&lp.f);
        lp.f.options.guard = &no_retries;
        loop_start(&lp, true, kinds[i]);
        break_circuit(&lp.f, lp.fn);
        CHECK_STATUS(CKIT_COMPUTE, begin_call(&lp, &p, 7));
        run(&lp, &p);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 5, lp.fn, 7);
        CHECK_STR("", fake_log(lp.f.store));
        heal_everything(lp.f.store);
        fake_clock_advance(&lp.f.time, 30001);
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 8));
        run(&lp, &q);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &q);
        CHECK_EQ_U(1, fake_count(lp.f.store));
        loop_close(&lp);
    }
}

CKIT_TEST(guarded, entries_by_key_tell_that_the_circuit_is_open_and_live_on_in_memory) {
    fixture    f;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    open_guarded(&f, FAKE_FULL, &no_retries);
    fail_everything(f.store);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_cache_get(f.cache, S("key"), NULL, &value, NULL));
    }
    CHECK_STATUS_ERR(CKIT_E_CIRCUIT_OPEN, ckit_cache_get(f.cache, S("key"), NULL, &value, &err), &err);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, ckit_cache_set(f.cache, S("key"), S("value"), NULL, NULL));
    CHECK_OK(ckit_cache_get(f.cache, S("key"), NULL, &value, NULL));
    CHECK_TEXT("value", value.data);
    ckit_value_fini(&value);
    CHECK_EQ_U(5, stats_of(f.cache).l2_errors);
    fixture_close(&f);
}

CKIT_TEST(guarded, what_passes_is_tried_again_before_the_function_runs) {
    ckit_guard_options guard = CKIT_GUARD_OPTIONS_INIT;
    fixture            f;
    loader             l;
    guard.retry_delay_ms = 1;
    open_guarded(&f, FAKE_FULL, &guard);
    loader_init(&l);
    ckit_cache    *other = fixture_cache(&f, FAKE_FULL);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    ckit_function *same = function_of(other, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, same, 7);
    fake_fail(f.store, FAKE_GET, CKIT_E_NETWORK, 2);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    CHECK_EQ_U(0, stats_of(f.cache).l2_errors);
    CHECK_EQ_U(1, guard_of(f.cache).recovered);
    ckit_function_close(fn);
    ckit_function_close(same);
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(guarded, a_store_with_no_place_left_is_a_miss) {
    ckit_guard_options guard = no_retries;
    fixture            f;
    loader             l;
    threaded_call      slow = {0};
    guard.max_concurrent = 1;
    guard.queue_timeout_ms = 1;
    open_guarded(&f, FAKE_FULL, &guard);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    call_stop_in_store(&slow, fn, 1, f.store, FAKE_GET, FAKE_BEFORE);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 2);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 2);
    CHECK_BETWEEN_U(1, 2, guard_of(f.cache).rejected);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, guard_of(f.cache).state);
    fake_open_gate(f.store, FAKE_GET);
    CHECK_STATUS(CKIT_OK, call_join(&slow).status);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(guarded, caches_over_one_guarded_store_share_what_it_learnt) {
    fixture          f;
    ckit_value       value = CKIT_VALUE_INIT;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_backend    *guarded = NULL;
    fixture_prepare(&f);
    f.store = fake_store_open(&f.time);
    env.clock = &f.time.clock;
    env.log = &f.log.log;
    CHECK_OK(ckit_backend_guard(fake_connect(f.store, FAKE_FULL), &no_retries, &env, &guarded, NULL));
    f.options.guard = &no_retries; /* it is guarded already */
    CHECK_OK(ckit_cache_new(&f.options, guarded, &f.cache, NULL));
    CHECK_EQ_P(guarded, ckit_cache_backend(f.cache));
    fail_everything(f.store);
    for (int i = 0; i < 5; i++) {
        (void)ckit_cache_get(f.cache, S("key"), NULL, &value, NULL);
    }
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_backend_guard_stats(guarded, &stats));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats.state);
    fixture_close(&f);
}

CKIT_TEST(guarded, memory_alone_has_no_guard_and_a_bare_store_neither) {
    fixture          f;
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    fixture_prepare(&f);
    f.options.guard = &no_retries;
    fixture_start_memory(&f);
    CHECK(!ckit_cache_get_guard_stats(f.cache, &stats));
    fixture_close(&f);
    fixture_open(&f, FAKE_FULL);
    CHECK(!ckit_cache_get_guard_stats(f.cache, &stats));
    fixture_close(&f);
}

CKIT_TEST(guarded, contradicting_options_are_refused_and_the_store_is_closed) {
    ckit_guard_options guard = CKIT_GUARD_OPTIONS_INIT;
    fixture            f;
    ckit_error         err = CKIT_ERROR_INIT;
    guard.timeout_min_ms = 20000;
    fixture_prepare(&f);
    f.options.guard = &guard;
    f.store = fake_store_open(&f.time);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_cache_new(&f.options, fake_connect(f.store, FAKE_FULL), &f.cache, &err),
                     &err);
    CHECK(f.cache == NULL);
    fake_store_close(f.store);
}
