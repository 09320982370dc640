/* store_fixture.h - a Redis store over a server of the test's own, and a cluster that the tests of a program share. */
#ifndef CKITI_REDIS_STORE_FIXTURE_H
#define CKITI_REDIS_STORE_FIXTURE_H

#include "store.h"

#include "support/redis_cluster.h"
#include "support/test.h"

#include <cachekit/redis.h>

typedef struct fixture {
    ckit_redis_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    ckiti_redis_store      *self;
} fixture;

/* With time limits that a slow machine keeps. f->options may be changed before fixture_open. */
void fixture_prepare(fixture *f, const char *url);
void fixture_open(fixture *f);
void fixture_close(fixture *f);

/* An entry whose value is its key. */
void put(fixture *f, const char *key, const char *namespace_name, const char *function, uint64_t ttl_ms);
bool has(fixture *f, const char *key);

extern redis_cluster cluster; /* after need_cluster: three masters, and a replica of the first */

/* Starts it for the first test of the program; skips the test where there is none. A forked child leaves it alone. */
void need_cluster(void);

void pause_ms(long ms);

#endif
