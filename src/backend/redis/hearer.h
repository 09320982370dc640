/* hearer.h - a sink for tests that keeps what it is told and can wait for it, and stores that tell it. Waits for what
 * must come, a minute at most; a check fails when it does not. */
#ifndef CKITI_REDIS_HEARER_H
#define CKITI_REDIS_HEARER_H

#include <cachekit/ext/backend.h>
#include <cachekit/redis.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define HEARER_KEPT 4096

typedef struct hearer {
    ckit_watch_sink sink;
    pthread_mutex_t lock;
    pthread_cond_t  news;
    unsigned        keys, scopes, calls, guarded;
    unsigned        lost; /* when it was guarded */
    unsigned        what;
    bool            now_guarded;
    bool            deaf;                   /* `changed` does not come back */
    char            heard[HEARER_KEPT][48]; /* beginnings of keys */
    ckit_scope_kind scope;
} hearer;

typedef struct member {
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    hearer                  h;
} member;

/* Until a counter of the hearer is as high; `what` is for people. */
void     hearer_await(hearer *h, const unsigned *counter, unsigned count, const char *what);
unsigned hearer_seen(hearer *h, const unsigned *counter);
/* Until the key has been told, of which 47 bytes count. */
void            hearer_await_key(hearer *h, const char *key);
void            hearer_forget_keys(hearer *h);
struct timespec hearer_patience(void);

/* Without time limits given, with some that a slow machine keeps. */
void member_open(member *m, const ckit_redis_options *given, bool watches);
/* An operation, of which nothing is expected. */
void member_touch(member *m);
/* Opens a store that watches, and waits until it does. */
void member_watch(member *m, const char *url, ckit_redis_invalidation how);
/* Opens one that does not. */
void member_write(member *m, const char *url);
void member_close(member *m);
void member_put(member *m, const char *key, uint64_t ttl_ms);

#endif
