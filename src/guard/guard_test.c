/* What a guard is in front of a store: its table, options and deadlines; hardship and threads. Of operations.c. */
#include "guard/guard_fixture.h"
#include "support/failing_alloc.h"

#include <pthread.h>
#include <sched.h>

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void check_mirrors(fake_kind kind) {
    scene s;
    scene_open(&s, kind);
    const ckit_backend_ops *inner = ckiti_guarded_of(s.backend)->inner;
    CHECK_STR(inner->name, ckit_backend_name(s.backend));
#define MIRRORS(field) CHECK((inner->field == NULL) == (s.ops->field == NULL))
    MIRRORS(ttl), MIRRORS(touch), MIRRORS(get_many), MIRRORS(set_many), MIRRORS(submit), MIRRORS(list);
    MIRRORS(delete_scope), MIRRORS(lock_try), MIRRORS(lock_renew), MIRRORS(lock_release), MIRRORS(set_if_owner);
    MIRRORS(key_prefix), MIRRORS(stats), MIRRORS(sweep), MIRRORS(watch);
    MIRRORS(lock_try_many), MIRRORS(lock_renew_many), MIRRORS(lock_release_many), MIRRORS(set_many_if_owner);
    MIRRORS(replace), MIRRORS(hurry);
    scene_close(&s);
}

CKIT_TEST(guard, what_the_store_cannot_its_guard_cannot_either) {
    check_mirrors(FAKE_REQUIRED);
    check_mirrors(FAKE_FULL);
    check_mirrors(FAKE_LOCKING);
    check_mirrors(FAKE_LOCKING_MANY);
    check_mirrors(FAKE_SUBMITTING);
}

CKIT_TEST(guard, every_operation_of_the_contract_is_guarded_or_let_through) {
    /* Who adds an operation gives the guard its part of it in operations.c, and then counts it here. */
    const size_t operations = 27, abi_and_name = 2;
    CHECK_EQ_U((abi_and_name + operations) * sizeof(void *), sizeof(ckit_backend_ops));
}

CKIT_TEST(guard, a_guarded_store_is_not_guarded_twice_and_an_unwanted_guard_is_none) {
    scene         s;
    ckit_backend *again = NULL, *bare;
    scene_open(&s, FAKE_FULL);
    CHECK_OK(ckit_backend_guard(s.backend, NULL, NULL, &again, NULL));
    CHECK_EQ_P(s.backend, again);
    ckit_guard_options off = CKIT_GUARD_OPTIONS_INIT;
    ckit_guard_stats   stats = CKIT_GUARD_STATS_INIT;
    off.enabled = CKIT_OFF;
    bare = fake_connect(s.store, FAKE_FULL);
    CHECK_OK(ckit_backend_guard(bare, &off, NULL, &again, NULL));
    CHECK_EQ_P(bare, again);
    CHECK(!ckit_backend_guard_stats(bare, &stats));
    CHECK(!ckit_backend_guard_stats(NULL, &stats));
    CHECK(!ckit_backend_guard_reset(bare));
    ckit_backend_close(bare);
    scene_close(&s);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void check_refused(const ckit_guard_options *options, const char *name) {
    fake_store   *store = fake_store_open(NULL);
    ckit_backend *out = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION,
                     ckit_backend_guard(fake_connect(store, FAKE_FULL), options, NULL, &out, &err), &err);
    CHECK_CONTAINS(name, err.text);
    CHECK(out == NULL);
    fake_store_close(store);
}

#define REFUSED(name, ...)                                                                                             \
    check_refused(&(ckit_guard_options){.struct_size = sizeof(ckit_guard_options), __VA_ARGS__}, name)

CKIT_TEST(guard, contradictions_are_refused_by_name) {
    REFUSED("timeout_min_ms is 500, above timeout_max_ms, which is 400", .timeout_min_ms = 500, .timeout_max_ms = 400);
    REFUSED("timeout_min_ms is 10001, above timeout_max_ms, which is 10000", .timeout_min_ms = 10001);
    REFUSED("timeout_initial_ms is 50, not from timeout_min_ms (100)", .timeout_initial_ms = 50);
    REFUSED("to timeout_max_ms (10000)", .timeout_initial_ms = 20000);
    REFUSED("timeout_max_ms", .timeout_max_ms = 3600001);
    REFUSED("timeout_percentile", .timeout_percentile = 101);
    REFUSED("timeout_percentile", .timeout_percentile = -1);
    REFUSED("timeout_percentile", .timeout_percentile = __builtin_nan(""));
    REFUSED("timeout_window", .timeout_window = 9);
    REFUSED("half_open_requests", .half_open_requests = 65);
    REFUSED("breaker", .breaker = (ckit_switch)3);
    REFUSED("every kind", .excluded_kinds = ~0u);
    REFUSED("max_retries", .max_retries = 101);
}

CKIT_TEST(guard, the_initial_timeout_moves_into_the_bounds_that_are_given) {
    scene s;
    scene_prepare(&s);
    s.options.timeout_min_ms = 2000;
    scene_start(&s, FAKE_FULL);
    CHECK_EQ_U(2000, scene_stats(&s).data.timeout_ms);
    scene_close(&s);
    scene_prepare(&s);
    s.options.timeout_max_ms = 500;
    scene_start(&s, FAKE_FULL);
    CHECK_EQ_U(500, scene_stats(&s).data.timeout_ms);
    scene_close(&s);
}

CKIT_TEST(guard, options_and_stats_of_an_older_program_are_understood) {
    fake_store        *store = fake_store_open(NULL);
    ckit_backend      *backend = NULL;
    ckit_guard_options older = CKIT_GUARD_OPTIONS_INIT;
    ckit_guard_stats   stats = CKIT_GUARD_STATS_INIT;
    older.struct_size = offsetof(ckit_guard_options, failure_threshold) + sizeof older.failure_threshold;
    older.failure_threshold = 1;
    older.max_retries = 4711; /* beyond its size */
    CHECK_OK(ckit_backend_guard(fake_connect(store, FAKE_FULL), &older, NULL, &backend, NULL));
    memset(&stats, 0xaa, sizeof stats);
    stats.struct_size = offsetof(ckit_guard_stats, probes);
    CHECK(ckit_backend_guard_stats(backend, &stats));
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    CHECK_EQ_U(0xaaaaaaaau, stats.probes);
    ckit_backend_close(backend);
    fake_store_close(store);
}

/* ---- deadlines --------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard, an_operation_gets_the_earlier_of_the_caller_s_deadline_and_the_learnt_one) {
    scene s;
    scene_open(&s, FAKE_FULL);
    uint64_t now = fake_clock_now(&s.time);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    CHECK_EQ_U(now + 1000, fake_last_deadline(s.store, FAKE_GET));
    CHECK_STATUS(CKIT_MISS, scene_get_by(&s, now + 999, NULL));
    CHECK_EQ_U(now + 999, fake_last_deadline(s.store, FAKE_GET));
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    CHECK_STATUS(CKIT_MISS, scene_get(&s)); /* they took no time at all */
    CHECK_EQ_U(now + 100, fake_last_deadline(s.store, FAKE_GET));
    scene_close(&s);
}

CKIT_TEST(guard, locks_are_timed_apart_from_reads_and_writes) {
    scene      s;
    ckit_lease lease;
    scene_open(&s, FAKE_LOCKING);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(scene_set(&s));
    }
    CHECK_OK(s.ops->lock_try(s.self, S("key"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000, fake_last_deadline(s.store, FAKE_LOCK_TRY));
    CHECK_OK(s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(2, scene_stats(&s).locks.operations);
    CHECK_EQ_U(20, scene_stats(&s).data.operations);
    scene_close(&s);
}

CKIT_TEST(guard, large_values_and_batches_get_more_time) {
    scene                 s;
    static uint8_t        large[3 << 20];
    const ckit_entry_info info = {.ttl_ms = 60000};
    scene_open(&s, FAKE_FULL);
    CHECK_OK(s.ops->set(s.self, S("key"), S_ARRAY(large), &info, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000 + 96, fake_last_deadline(s.store, FAKE_SET));
    scene_close(&s);
}

CKIT_TEST(guard, a_timed_out_operation_is_remembered_with_the_time_it_had) {
    scene s;
    scene_prepare(&s);
    s.options.failure_threshold = 1000;
    scene_start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, UINT64_MAX);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, scene_get(&s));
    }
    CHECK_EQ_U(10, scene_stats(&s).data.timed_out);
    CHECK_EQ_D(1000.0, scene_stats(&s).data.percentile_ms);
    CHECK_EQ_U(1500, scene_stats(&s).data.timeout_ms);
    scene_close(&s);
}

CKIT_TEST(guard, how_fast_a_store_fails_is_not_taken_for_how_fast_it_works) {
    scene s;
    scene_prepare(&s);
    s.options.failure_threshold = 1000;
    scene_start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_UNREACHABLE, UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, scene_get(&s));
    }
    CHECK_EQ_U(0, scene_stats(&s).data.operations);
    CHECK_EQ_U(1000, scene_stats(&s).data.timeout_ms);
    scene_close(&s);
}

/* ---- hardship ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard, without_memory_the_store_is_closed_and_nothing_is_left) {
    for (uint64_t n = 0;; n++) {
        failing_alloc    memory;
        fake_store      *store = fake_store_open(NULL);
        ckit_backend    *backend = NULL;
        ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
        failing_alloc_init(&memory, n);
        env.alloc = &memory.alloc;
        ckit_status st = ckit_backend_guard(fake_connect(store, FAKE_FULL), NULL, &env, &backend, NULL);
        ckit_backend_close(backend);
        fake_store_close(store);
        failing_alloc_check_empty(&memory);
        if (!failing_alloc_has_failed(&memory)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

CKIT_TEST(guard, wrong_calls_are_told_and_close_the_store) {
    fake_store        *store = fake_store_open(NULL);
    ckit_backend      *out = NULL;
    ckit_guard_options unset = {.struct_size = 0};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(NULL, NULL, NULL, &out, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(fake_connect(store, FAKE_FULL), NULL, NULL, NULL, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(fake_connect(store, FAKE_FULL), &unset, NULL, &out, NULL));
    fake_store_close(store);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *mixed_work(void *context) {
    scene *s = context;
    for (int i = 0; i < 2000; i++) {
        if (i % 50 == 0) {
            fake_fail(s->store, i % 100 == 0 ? FAKE_GET : FAKE_SET, CKIT_E_NETWORK, 60);
        }
        (void)(i % 3 == 0 ? scene_set(s) : scene_get(s));
        if (i % 40 == 0) {
            fake_clock_advance(&s->time, 3);
            (void)scene_stats(s);
        }
    }
    return NULL;
}

CKIT_TEST(guard, threads_share_it_through_failures_and_recoveries) {
    scene     s;
    pthread_t threads[4];
    scene_prepare(&s);
    s.options.failure_threshold = 2;
    s.options.recovery_timeout_ms = 2;
    s.options.max_concurrent = 2;
    s.options.retry = CKIT_ON;
    s.options.retry_delay_ms = 1;
    s.sink.level = CKIT_LOG_OFF;
    scene_start(&s, FAKE_FULL);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, mixed_work, &s));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ckit_guard_stats stats = scene_stats(&s);
    CHECK_EQ_U(0, stats.in_flight);
    CHECK_EQ_U(0, stats.probes);
    CHECK_EQ_U(0, stats.waiting);
    CHECK_BETWEEN_U(1, UINT64_MAX, stats.opened);
    CHECK_BETWEEN_U(1, UINT64_MAX, stats.data.operations);
    scene_close(&s);
}
