/* The Redis store on a real cluster whose clock follows the tests'. Its nodes are patient: their time jumps. */
#include "suite.h"

#include "support/redis_cluster.h"

#include <cachekit/redis.h>
#include <stdlib.h>

#define LARGEST ((size_t)4 * 1024 * 1024)
#define PATIENCE_MS UINT64_C(1000000000000)

static redis_cluster cluster;

static void stop(void) { redis_cluster_stop(&cluster); }

static ckit_status open_cluster(const suite_place *place, ckit_backend **out, ckit_error *err) {
    char why[200];
    char answer[256];
    if (cluster.count == 0) {
        if (!redis_cluster_start(&cluster, 0, PATIENCE_MS, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
    CHECK(cluster.nodes[0].clock_us != NULL);
    fake_clock_mirror(place->env->clock->self, cluster.nodes[0].clock_us);
    for (size_t i = 0; i < cluster.count; i++) {
        CHECK_STR("+OK", redis_server_tell(&cluster.nodes[i], "FLUSHALL", answer));
    }
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    options.url = cluster.url;
    options.max_value_bytes = LARGEST;
    options.socket_timeout_ms = 30000; /* the machine may be busy */
    options.socket_connect_timeout_ms = 30000;
    return ckit_redis_open(&options, place->env, out, err);
}

CKIT_BACKEND_SUITE(redis_cluster, open_cluster, .granularity_ms = 1, .max_value_bytes = LARGEST,
                   .outlives_process = true)
