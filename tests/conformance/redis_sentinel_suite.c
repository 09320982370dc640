/* The Redis store on a real server that a real sentinel names. */
#include "suite.h"

#include "support/redis_server.h"

#include <cachekit/redis.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGEST ((size_t)4 * 1024 * 1024)

static redis_server server, sentinel;

static void stop(void) {
    redis_server_stop(&sentinel);
    redis_server_stop(&server);
}

static void start(void) {
    char why[200], lines[200];
    if (!redis_server_start(&server, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    atexit(stop);
    snprintf(lines, sizeof lines, "sentinel monitor main 127.0.0.1 %u 1\n", server.port);
    if (!redis_server_start_sentinel(&sentinel, lines, why, sizeof why)) {
        FAIL("%s", why);
    }
}

static ckit_status open_sentinel(const suite_place *place, ckit_backend **out, ckit_error *err) {
    char answer[256], url[80];
    if (server.pid == 0) {
        start();
    }
    CHECK(server.clock_us != NULL);
    fake_clock_mirror(place->env->clock->self, server.clock_us);
    CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u/main", sentinel.port);
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    options.url = url;
    options.max_value_bytes = LARGEST;
    options.socket_timeout_ms = 30000; /* the machine may be busy */
    options.socket_connect_timeout_ms = 30000;
    return ckit_redis_open(&options, place->env, out, err);
}

CKIT_BACKEND_SUITE(redis_sentinel, open_sentinel, .granularity_ms = 1, .max_value_bytes = LARGEST,
                   .outlives_process = true)
