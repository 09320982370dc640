/* Guards that several stores share, and guards that are driven by hand. Of by_hand.c. */
#include "guard/guard.h"
#include "support/fake_backend.h"
#include "support/test.h"

#include <cachekit/buf.h>

typedef struct scene {
    fake_clock time;
    ckit_error err;
} scene;

static ckit_backend_env env_of(scene *s) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    env.clock = &s->time.clock;
    return env;
}

static void begin(scene *s) {
    s->err = (ckit_error)CKIT_ERROR_INIT;
    fake_clock_init(&s->time);
}

static ckit_backend *guarded(scene *s, fake_store *store, const ckit_guard_options *options) {
    ckit_backend_env env = env_of(s);
    ckit_backend    *backend = NULL;
    CHECK_OK_ERR(ckit_backend_guard(fake_connect(store, FAKE_FULL), options, &env, &backend, &s->err), &s->err);
    return backend;
}

static ckit_guard *by_itself(scene *s, const ckit_guard_options *options) {
    ckit_backend_env env = env_of(s);
    ckit_guard      *guard = NULL;
    CHECK_OK_ERR(ckit_guard_new(options, &env, &guard, &s->err), &s->err);
    return guard;
}

static ckit_status get(ckit_backend *backend) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life;
    ckit_status st = ckit_backend_operations(backend)->get(ckit_backend_self(backend), S("key"), CKIT_NO_DEADLINE, &out,
                                                           &life, NULL);
    ckit_buf_fini(&out);
    return st;
}

static ckit_guard_stats stats_of(ckit_guard *guard) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    ckit_guard_get_stats(guard, &stats);
    return stats;
}

static void one(ckit_guard *guard, ckit_error_kind kind) {
    ckit_guard_pass pass;
    CHECK_OK(ckit_guard_enter(guard, &pass, NULL, NULL));
    ckit_guard_leave(guard, &pass, kind);
}

static ckit_guard_options quick(void) {
    ckit_guard_options options = CKIT_GUARD_OPTIONS_INIT;
    options.retry = CKIT_OFF;
    options.failure_threshold = 2;
    return options;
}

/* ---- shared ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(guard_shared, what_one_store_suffers_the_other_is_spared) {
    scene s;
    begin(&s);
    fake_store        *stores[] = {fake_store_open(&s.time), fake_store_open(&s.time)};
    ckit_guard_options options = quick();
    ckit_backend      *first = guarded(&s, stores[0], &options);
    options.shared = ckit_backend_get_guard(first);
    options.failure_threshold = 0; /* no say, nor is it looked at */
    ckit_backend *second = guarded(&s, stores[1], &options);
    fake_fail(stores[0], FAKE_GET, CKIT_E_UNREACHABLE, 2);
    CHECK_STATUS(CKIT_E_UNREACHABLE, get(first));
    CHECK_STATUS(CKIT_E_UNREACHABLE, get(first));
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, get(second));
    CHECK_EQ_U(1, stats_of(options.shared).refused);
    ckit_guard_release(options.shared);
    ckit_backend_close(first); /* the guard lives on with the second */
    CHECK(ckit_backend_guard_reset(second));
    CHECK_STATUS(CKIT_MISS, get(second));
    ckit_backend_close(second);
    fake_store_close(stores[0]);
    fake_store_close(stores[1]);
}

CKIT_TEST(guard_shared, a_guard_outlives_its_stores_when_somebody_holds_it) {
    scene s;
    begin(&s);
    fake_store        *store = fake_store_open(&s.time);
    ckit_guard_options options = quick();
    ckit_backend      *backend = guarded(&s, store, &options);
    ckit_guard        *guard = ckit_backend_get_guard(backend);
    CHECK_STATUS(CKIT_MISS, get(backend));
    ckit_backend_close(backend);
    CHECK_EQ_U(1, stats_of(guard).data.operations);
    ckit_guard_release(guard);
    fake_store_close(store);
}

CKIT_TEST(guard_shared, a_store_without_a_guard_has_none_to_share) {
    scene s;
    begin(&s);
    fake_store   *store = fake_store_open(&s.time);
    ckit_backend *bare = fake_connect(store, FAKE_FULL);
    CHECK(ckit_backend_get_guard(bare) == NULL && ckit_backend_get_guard(NULL) == NULL);
    ckit_guard_release(NULL);
    ckit_backend_close(bare);
    fake_store_close(store);
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard_by_hand, it_opens_probes_and_closes_as_in_front_of_a_store) {
    scene s;
    begin(&s);
    ckit_guard_options options = quick();
    ckit_guard_pass    pass;
    options.success_threshold = 1;
    ckit_guard *guard = by_itself(&s, &options);
    one(guard, CKIT_KIND_TRANSIENT);
    one(guard, CKIT_KIND_PERMANENT); /* says nothing */
    one(guard, CKIT_KIND_TIMEOUT);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats_of(guard).state);
    fake_clock_advance(&s.time, 1000);
    CHECK_EQ_U(1000, stats_of(guard).last_failure_ms_ago);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, ckit_guard_enter(guard, &pass, NULL, &s.err));
    fake_clock_advance(&s.time, 30000);
    one(guard, CKIT_KIND_NONE);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(guard).state);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, a_guard_that_never_failed_says_so) {
    scene s;
    begin(&s);
    ckit_guard *guard = by_itself(&s, NULL);
    one(guard, CKIT_KIND_NONE);
    CHECK_EQ_U(UINT64_MAX, stats_of(guard).last_failure_ms_ago);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, durations_that_are_told_move_the_time_limit) {
    scene s;
    begin(&s);
    ckit_guard     *guard = by_itself(&s, NULL);
    ckit_guard_pass pass;
    uint32_t        timeout_ms = 0;
    for (int i = 0; i < 100; i++) {
        ckit_guard_record(guard, false, 200000);
        ckit_guard_record(guard, true, 2000000);
    }
    CHECK_EQ_U(300, stats_of(guard).data.timeout_ms);
    CHECK_EQ_U(3000, stats_of(guard).locks.timeout_ms);
    CHECK_OK(ckit_guard_enter(guard, &pass, &timeout_ms, NULL));
    CHECK_EQ_U(300, timeout_ms);
    ckit_guard_leave(guard, &pass, CKIT_KIND_NONE);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, who_was_not_let_in_leaves_nothing) {
    ckit_guard_pass  pass = {{0}};
    ckit_guard      *guard = NULL;
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK_OK(ckit_guard_new(NULL, NULL, &guard, NULL));
    ckit_guard_leave(guard, &pass, CKIT_KIND_TRANSIENT);
    ckit_guard_get_stats(guard, &stats);
    CHECK_EQ_U(0, stats.failures);
    CHECK_EQ_U(0, stats.in_flight);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, without_a_queue_nobody_waits) {
    scene s;
    begin(&s);
    ckit_guard_options options = quick();
    ckit_guard_pass    pass, second;
    options.max_concurrent = 1;
    options.queue_size = CKIT_GUARD_NONE;
    options.queue_timeout_ms = CKIT_GUARD_NONE;
    ckit_guard *guard = by_itself(&s, &options);
    CHECK_OK(ckit_guard_enter(guard, &pass, NULL, NULL));
    CHECK_STATUS(CKIT_E_BUSY, ckit_guard_enter(guard, &second, NULL, &s.err));
    ckit_guard_stats stats = stats_of(guard);
    CHECK_EQ_U(1, stats.in_flight);
    CHECK_EQ_U(1, stats.rejected);
    CHECK(stats.accepting);
    ckit_guard_leave(guard, &pass, CKIT_KIND_NONE);
    CHECK_EQ_U(0, stats_of(guard).in_flight);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, options_are_told_with_their_defaults) {
    scene s;
    begin(&s);
    ckit_guard_options given = CKIT_GUARD_OPTIONS_INIT, told = CKIT_GUARD_OPTIONS_INIT;
    given.failure_threshold = 7;
    given.recovery_timeout_ms = CKIT_GUARD_NONE;
    ckit_guard *guard = by_itself(&s, &given);
    ckit_guard_get_options(guard, &told);
    CHECK_EQ_U(7, told.failure_threshold);
    CHECK_EQ_U(CKIT_GUARD_NONE, told.recovery_timeout_ms);
    CHECK_EQ_U(100, told.max_concurrent);
    CHECK_EQ_U(10000, told.timeout_max_ms);
    CHECK(told.shared == NULL && told.struct_size == sizeof told);
    ckit_guard_release(guard);
}

CKIT_TEST(guard_by_hand, wrong_options_make_none) {
    scene s;
    begin(&s);
    ckit_guard_options wrong = CKIT_GUARD_OPTIONS_INIT;
    ckit_guard        *guard;
    wrong.half_open_requests = 65;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_guard_new(&wrong, NULL, &guard, &s.err));
    CHECK(guard == NULL);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_guard_new(NULL, NULL, NULL, NULL));
    guard = by_itself(&s, NULL);
    wrong = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    wrong.shared = guard;
    ckit_guard *other;
    CHECK_STATUS(CKIT_E_MISUSE, ckit_guard_new(&wrong, NULL, &other, NULL));
    ckit_guard_release(guard);
}
