/* sentinel.h - where the master is, as sentinels tell it.
 *
 * Asked whenever a connection is made: after a fail-over the old connections end (sentinels see to it, and so does a
 * server that answers READONLY), and the new ones go to the new master. What sentinels say is not taken for granted:
 * the server must call itself a master (ROLE), otherwise the next sentinel is asked. When none answers, the master that
 * was good last is tried: it may be up all the same. Thread-safe. */
#ifndef CKITI_REDIS_SENTINEL_H
#define CKITI_REDIS_SENTINEL_H

#include "connection.h"

#include <pthread.h>

typedef struct ckiti_redis_sentinel {
    ckiti_redis_address           address; /* of the sentinels, with their credentials */
    const ckiti_redis_stream_ops *streams;
    const ckit_alloc             *alloc;
    pthread_mutex_t               lock;   /* a leaf: guards what follows */
    unsigned                      first;  /* who answered well last is asked first */
    ckiti_redis_endpoint          master; /* that was good last; an empty host: none yet */
} ckiti_redis_sentinel;

/* `address` is copied. */
void ckiti_redis_sentinel_init(ckiti_redis_sentinel *s, const ckiti_redis_address *address,
                               const ckiti_redis_stream_ops *streams, const ckit_alloc *alloc);
/* Accepts zeroed memory. */
void ckiti_redis_sentinel_fini(ckiti_redis_sentinel *s);

ckiti_redis_resolver ckiti_redis_sentinel_resolver(ckiti_redis_sentinel *s);

#endif
