/* The Redis store over encrypted connections. */
#include "suite.h"

#include "support/certificates.h"
#include "support/redis_server.h"
#include "support/scratch.h"

#include <cachekit/redis.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGEST ((size_t)4 * 1024 * 1024)

static redis_server server;
static char         certificates[SCRATCH_PATH];

static void stop(void) { redis_server_stop(&server); }

static ckit_status open_rediss(const suite_place *place, ckit_backend **out, ckit_error *err) {
    char why[200];
    char answer[256];
    if (server.pid == 0) {
        scratch_make(certificates);
        certificates_make(certificates);
        if (!redis_server_start_tls(&server, certificates, NULL, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
    CHECK(server.clock_us != NULL);
    fake_clock_mirror(place->env->clock->self, server.clock_us);
    CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    char               url[SCRATCH_PATH + 100];
    snprintf(url, sizeof url, "rediss://127.0.0.1:%u/0?ssl_ca_certs=%s/ca.pem", server.tls_port, certificates);
    options.url = url;
    options.max_value_bytes = LARGEST;
    options.socket_timeout_ms = 30000; /* the machine may be busy */
    options.socket_connect_timeout_ms = 30000;
    return ckit_redis_open(&options, place->env, out, err);
}

/* The server lets a key live through its last millisecond. */
CKIT_BACKEND_SUITE(redis_tls, open_rediss, .granularity_ms = 1, .max_value_bytes = LARGEST, .outlives_process = true)
