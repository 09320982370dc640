/* A server that is restarted, and one that stays away, under callers who go on asking. Waits for what must come. */
#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <cachekit/redis.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define CALLERS 8
#define PATIENCE_MS 30000
#define HOUR_MS 3600000u

typedef struct scene {
    redis_server       server;
    ckit_guard_options guard;
    ckit_backend      *store; /* the cache's, with its guard */
    ckit_cache        *cache;
    ckit_function     *function;
    _Atomic int64_t    next; /* no argument twice: each call asks the store */
    _Atomic uint64_t   calls;
    _Atomic bool       rests;
    pthread_t          callers[CALLERS];
} scene;

static ckit_status load_number(void *context, ckit_load *load, ckit_error *err) {
    (void)context, (void)err;
    ckit_write_int(load->result, 42);
    return CKIT_OK;
}

static void scene_open(scene *s) {
    char               why[200];
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_redis_options redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_OFF};
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    if (UNDER_TSAN) { /* a server is started by a fork, for which the cache takes all its locks */
        SKIP("the thread sanitizer ends a program whose thread holds more than 64 locks");
    }
    if (!redis_server_start(&s->server, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    redis.url = s->server.url;
    options.log = &quiet;
    options.l1 = CKIT_OFF;
    env.log = &quiet;
    CHECK_OK_ERR(ckit_redis_open(&redis, &env, &s->store, &err), &err);
    CHECK_OK_ERR(ckit_backend_guard(s->store, &s->guard, &env, &s->store, &err), &err);
    CHECK_OK_ERR(ckit_cache_open_over(s->store, &options, &s->cache, &err), &err);
    CHECK_OK_ERR(ckit_function_new(s->cache, "restart.number", load_number, NULL, NULL, &s->function, &err), &err);
}

static void scene_close(scene *s) {
    ckit_function_close(s->function);
    ckit_cache_close(s->cache);
    redis_server_stop(&s->server);
}

static ckit_source call(scene *s, int64_t number) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, number);
    CHECK_OK_ERR(ckit_call(s->function, &args, &value, &err), &err);
    ckit_source source = value.source;
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return source;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static void *go_on_calling(void *arg) {
    scene *s = arg;
    while (!s->rests) {
        (void)call(s, ++s->next);
        s->calls++;
        nap();
    }
    return NULL;
}

static void start_callers(scene *s) {
    for (int i = 0; i < CALLERS; i++) {
        CHECK_EQ_I(0, pthread_create(&s->callers[i], NULL, go_on_calling, s));
    }
}

static void rest_callers(scene *s) {
    s->rests = true;
    for (int i = 0; i < CALLERS; i++) {
        CHECK_EQ_I(0, pthread_join(s->callers[i], NULL));
    }
}

static void await_calls(scene *s, uint64_t count) {
    for (uint64_t end = s->calls + count; s->calls < end;) {
        nap();
    }
}

static void restart(scene *s) {
    char why[200];
    CHECKF(redis_server_restart(&s->server, why, sizeof why), "%s", why);
}

/* The first call that reaches the store leaves a value there. */
static void await_store(scene *s) {
    int left = PATIENCE_MS;
    while (call(s, 0) != CKIT_SOURCE_STORE && left-- > 0) {
        nap();
    }
    CHECK(left > 0);
}

static ckit_guard_stats stats_of(scene *s) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_backend_guard_stats(s->store, &stats));
    return stats;
}

/* Twenty attempts would take half a minute; many more calls than that find nobody there. */
CKIT_TEST(restart, a_server_that_is_restarted_opens_no_circuit_however_many_ask) {
    static scene s;
    s.guard = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    s.guard.failure_threshold = 20;
    s.guard.recovery_timeout_ms = HOUR_MS;
    scene_open(&s);
    start_callers(&s);
    await_calls(&s, 100);
    redis_server_kill(&s.server);
    await_calls(&s, 200);
    restart(&s);
    await_store(&s);
    rest_callers(&s);
    CHECK(stats_of(&s).failures > 0);
    CHECK_EQ_U(0, stats_of(&s).opened);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(&s).state);
    scene_close(&s);
}

CKIT_TEST(restart, a_server_that_stays_away_opens_it_by_as_many_attempts_as_it_takes) {
    static scene s;
    int          left = PATIENCE_MS;
    s.guard = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    s.guard.failure_threshold = 3;
    s.guard.recovery_timeout_ms = HOUR_MS;
    scene_open(&s);
    (void)call(&s, ++s.next);
    redis_server_kill(&s.server);
    start_callers(&s);
    while (stats_of(&s).state != CKIT_BREAKER_OPEN && left-- > 0) {
        nap();
    }
    CHECK(left > 0);
    await_calls(&s, 50);
    CHECK_EQ_U(3, stats_of(&s).failures);
    CHECK(stats_of(&s).refused > 0);
    restart(&s);
    await_calls(&s, 50); /* it is left alone, as it was told to */
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats_of(&s).state);
    CHECK(ckit_backend_guard_reset(s.store));
    await_store(&s);
    rest_callers(&s);
    scene_close(&s);
}

CKIT_TEST(restart, an_open_circuit_closes_when_the_server_is_back_whatever_pause_the_store_makes) {
    static scene s;
    int          left = PATIENCE_MS;
    s.guard = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    s.guard.failure_threshold = 1;
    s.guard.recovery_timeout_ms = 100;
    scene_open(&s);
    (void)call(&s, ++s.next);
    redis_server_kill(&s.server);
    start_callers(&s);
    while (stats_of(&s).opened < 8 && left-- > 0) { /* each probe that fails makes the pause longer */
        nap();
    }
    CHECK(left > 0);
    restart(&s);
    await_store(&s);
    rest_callers(&s);
    scene_close(&s);
}
