#include "store_fixture.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void fixture_prepare(fixture *f, const char *url) {
    memset(f, 0, sizeof *f);
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = url;
    f->options.socket_timeout_ms = 20000;
    f->options.socket_connect_timeout_ms = 20000;
    f->options.backoff_max_ms = 50;
}

void fixture_open(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_redis_open(&f->options, NULL, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
}

void fixture_close(fixture *f) { ckit_backend_close(f->backend); }

void put(fixture *f, const char *key, const char *namespace_name, const char *function, uint64_t ttl_ms) {
    ckit_entry_info info = {.ttl_ms = ttl_ms, .namespace_name = S(namespace_name), .function = S(function)};
    ckit_error      err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(f->ops->set(f->self, S(key), S(key), &info, CKIT_NO_DEADLINE, &err), &err);
}

bool has(fixture *f, const char *key) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = f->ops->exists(f->self, S(key), CKIT_NO_DEADLINE, &err);
    CHECK_STATUS_ERR(st == CKIT_MISS ? CKIT_MISS : CKIT_OK, st, &err);
    return st == CKIT_OK;
}

redis_cluster cluster;
static pid_t  owner;

static void stop(void) {
    if (getpid() == owner) {
        redis_cluster_stop(&cluster);
    }
}

void need_cluster(void) {
    char why[200];
    if (cluster.count > 0) {
        return;
    }
    if (!redis_cluster_start(&cluster, 1, 1500, why, sizeof why)) {
        SKIP("%s", why);
    }
    owner = getpid();
    atexit(stop);
}

void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }
