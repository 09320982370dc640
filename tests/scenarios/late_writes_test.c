/* A write whose answer is lost may still be on its way, and arrive behind one that is newer: through a proxy that holds
 * back one connection while others pass. Waits for what must come. */
#include "support/fault_proxy.h"
#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <cachekit/redis.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SILENCE_MS 1500u /* so long an answer is waited for, which a busy machine gives in time */
#define PATIENCE_MS 60000
#define GUARD_MS 30000u
/* Tells whose it is, so that one SET is all that writing it takes. */
#define KEY "ns:late:func:m.f:args:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef:1s"

/* Two caches without memory: one behind the proxy, the other plays another process. */
typedef struct scene {
    redis_server server;
    fault_proxy  proxy;
    ckit_cache  *cache;
    ckit_cache  *other;
} scene;

static ckit_cache *open_cache(uint16_t port) {
    char               url[64];
    ckit_redis_options redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_guard_options guard = CKIT_GUARD_OPTIONS_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_OFF};
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_backend      *store;
    ckit_cache        *cache;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u/0", (unsigned)port);
    redis.url = url;
    redis.socket_timeout_ms = SILENCE_MS;
    redis.retry_on_timeout = CKIT_REDIS_ON;
    guard.timeout_initial_ms = guard.timeout_min_ms = guard.timeout_max_ms = GUARD_MS;
    options.guard = &guard;
    options.store_timeout_ms = GUARD_MS;
    options.log = &quiet;
    options.l1 = CKIT_OFF;
    CHECK_OK_ERR(ckit_redis_open(&redis, NULL, &store, &err), &err);
    CHECK_OK_ERR(ckit_cache_open_over(store, &options, &cache, &err), &err);
    return cache;
}

static void scene_open(scene *s) {
    char why[200];
    if (!redis_server_start(&s->server, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    CHECK(fault_proxy_start(&s->proxy, s->server.port));
    s->cache = open_cache(s->proxy.port);
    s->other = open_cache(s->server.port);
}

static void scene_close(scene *s) {
    ckit_cache_close(s->cache);
    ckit_cache_close(s->other);
    fault_proxy_stop(&s->proxy);
    redis_server_stop(&s->server);
}

static ckit_status put(ckit_cache *cache, const char *text) {
    return ckit_cache_set(cache, S(KEY), S(text), NULL, NULL);
}

static bool reads(ckit_cache *cache, const char *text) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(cache, S(KEY), NULL, &value, NULL);
    bool        same = text == NULL ? st == CKIT_MISS : st == CKIT_OK && ckit_slice_equal(value.data, S(text));
    ckit_value_fini(&value);
    return same;
}

/* So many SETs the server has carried out. */
static unsigned sets_done(scene *s) {
    char        all[16384];
    const char *at = strstr(redis_server_ask(&s->server, "INFO commandstats", all, sizeof all), "cmdstat_set:calls=");
    unsigned    calls = 0;
    if (at != NULL) {
        (void)sscanf(at, "cmdstat_set:calls=%u", &calls);
    }
    return calls;
}

static bool is_removed(scene *s) { return reads(s->other, NULL); }
static bool has_arrived(scene *s) { return sets_done(s) == 3; }
static bool is_made_up_for(scene *s) {
    ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
    ckit_cache_get_stats(s->cache, &stats);
    CHECK(!reads(s->cache, "late"));
    return stats.replay_pending == 0;
}

static void await(scene *s, bool (*is)(scene *s)) {
    int left = PATIENCE_MS;
    while (!is(s) && left-- > 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    CHECK(left > 0);
}

CKIT_TEST(late_writes, one_whose_answer_is_lost_is_neither_sent_again_nor_stays) {
    scene s;
    scene_open(&s);
    CHECK_OK(put(s.cache, "old"));
    s.proxy.holds = s.proxy.accepted;
    fault_proxy_apply(&s.proxy);
    CHECK_STATUS(CKIT_E_TIMEOUT, put(s.cache, "late")); /* a new connection would take it */
    CHECK_EQ_U(1, sets_done(&s));
    await(&s, is_removed); /* whatever may be there is older than what this process knows */
    CHECK_OK(put(s.other, "newer"));
    fault_proxy_heal(&s.proxy);
    await(&s, has_arrived); /* behind the newer one */
    await(&s, is_made_up_for);
    CHECK(!reads(s.other, "late"));
    CHECK_OK(put(s.other, "newest"));
    CHECK(reads(s.cache, "newest"));
    scene_close(&s);
}
