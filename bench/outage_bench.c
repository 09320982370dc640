/* A Redis server that is killed and comes back, seen by a cache with the usual guard: what the first call pays that
 * meets it, what the next ones pay and how many of them are slow too (more than a healthy miss and a millisecond), and
 * how soon the store is used again. Left out where there is no redis-server. */
#include "bench.h"

#include "support/redis_server.h"

#include <cachekit/cache.h>
#include <cachekit/function.h>
#include <cachekit/guard.h>
#include <cachekit/open.h>
#include <cachekit/redis.h>
#include <cachekit/value.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUTAGES 5u
#define CALLS 200u
#define RECOVERY_MS 500u

typedef struct outage {
    redis_server   server;
    ckit_cache    *cache;
    ckit_function *function;
    int64_t        number; /* none twice, so that each is a miss */
} outage;

static void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "outage_bench: %s\n", what);
        exit(1);
    }
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static ckit_status load_number(void *context, ckit_load *load, ckit_error *err) {
    (void)context, (void)err;
    ckit_write_int(load->result, 42);
    return CKIT_OK;
}

static ckit_source call(outage *o, int64_t number) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, number);
    require(ckit_call(o->function, &args, &value, NULL) == CKIT_OK, "a call failed");
    ckit_source source = value.source;
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return source;
}

static double timed_call(outage *o) {
    double begun = now_ms();
    require(call(o, ++o->number) == CKIT_SOURCE_FUNCTION, "this was no miss");
    return now_ms() - begun;
}

static void ignore(void *self, ckit_log_level level, const char *component, const char *message) {
    (void)self, (void)level, (void)component, (void)message;
}

static void open_cache(outage *o) {
    static const ckit_log quiet = {.write = ignore};
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_guard_options    guard = CKIT_GUARD_OPTIONS_INIT;
    ckit_redis_options    redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend         *store;
    ckit_error            err = CKIT_ERROR_INIT;
    guard.recovery_timeout_ms = RECOVERY_MS;
    options.guard = &guard;
    options.l1 = CKIT_OFF;
    options.log = &quiet;
    redis.url = o->server.url;
    require(ckit_redis_open(&redis, NULL, &store, &err) == CKIT_OK, err.text);
    require(ckit_cache_open_over(store, &options, &o->cache, &err) == CKIT_OK, err.text);
    require(ckit_function_new(o->cache, "bench.number", load_number, NULL, NULL, &o->function, &err) == CKIT_OK,
            err.text);
}

typedef struct figures {
    double healthy[OUTAGES], first[OUTAGES], later[OUTAGES], slow[OUTAGES], back[OUTAGES];
    double timeout_ms; /* what an operation gets at most, when the server is killed */
} figures;

/* One outage, from a healthy server to one that is used again. */
static void go_through(outage *o, figures *f, unsigned nth) {
    double           taken[CALLS];
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    char             why[200];
    for (unsigned i = 0; i < CALLS; i++) {
        taken[i] = timed_call(o);
    }
    f->healthy[nth] = median(taken, CALLS);
    require(ckit_cache_get_guard_stats(o->cache, &stats), "there is no guard");
    f->timeout_ms = stats.data.timeout_ms > f->timeout_ms ? stats.data.timeout_ms : f->timeout_ms;

    redis_server_kill(&o->server);
    f->first[nth] = timed_call(o);
    f->slow[nth] = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        taken[i] = timed_call(o);
        f->slow[nth] += taken[i] > f->healthy[nth] + 1;
    }
    f->later[nth] = median(taken, CALLS);

    require(redis_server_restart(&o->server, why, sizeof why), why);
    double begun = now_ms();
    while (call(o, 0) != CKIT_SOURCE_STORE) { /* the first one that reaches it stores the value */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        require(now_ms() - begun < 60000, "the store is not used again");
    }
    f->back[nth] = now_ms() - begun;
    for (unsigned i = 0; i < 20; i++) { /* until the circuit is closed */
        (void)timed_call(o);
    }
}

BENCH_FAMILY(outage) {
    outage  o = {.number = 0};
    figures f = {.timeout_ms = 0};
    char    why[200];
    if (bench_is_counting(b)) {
        return;
    }
    if (!redis_server_start(&o.server, NULL, why, sizeof why)) {
        fprintf(stderr, "outage: left out: %s\n", why);
        return;
    }
    open_cache(&o);
    for (unsigned i = 0; i < OUTAGES; i++) {
        go_through(&o, &f, i);
    }
    double healthy = median(f.healthy, OUTAGES);
    bench_row_added(b, "outage.first", median(f.first, OUTAGES), "ms", "a healthy miss", healthy, f.timeout_ms);
    bench_row_at_most(b, "outage.later", median(f.later, OUTAGES), "ms", "a healthy miss", healthy, 1);
    bench_row_bound(b, "outage.slow", median(f.slow, OUTAGES), "calls", 0);
    bench_row_bound(b, "outage.recovery", median(f.back, OUTAGES), "ms", RECOVERY_MS * 1.1);
    ckit_function_close(o.function);
    ckit_cache_close(o.cache);
    redis_server_stop(&o.server);
}
