/* pool.h - connections that one caller has to himself for a while: for large values, for listing and deleting
 * scopes. */
#ifndef CKITI_REDIS_POOL_H
#define CKITI_REDIS_POOL_H

#include "backoff.h"
#include "connection.h"

#include <pthread.h>

#define CKITI_REDIS_IDLE_MS 60000u /* an idle connection that is older is closed */

typedef struct ckiti_redis_pooled {
    ckiti_redis_connection     connection;
    ckit_buf                   scratch; /* for the commands of one call */
    uint64_t                   idle_since_ms;
    struct ckiti_redis_pooled *next; /* of all */
    bool                       taken;
} ckiti_redis_pooled;

typedef struct ckiti_redis_pool {
    const ckiti_redis_dial *dial;
    ckiti_redis_backoff    *backoff;
    uint32_t                limit;
    pthread_mutex_t         lock; /* a leaf: guards what follows, never held across I/O */
    pthread_cond_t          given_back;
    ckiti_redis_pooled     *all;
    uint32_t                count;
} ckiti_redis_pool;

void ckiti_redis_pool_init(ckiti_redis_pool *pool, const ckiti_redis_dial *dial, ckiti_redis_backoff *backoff,
                           uint32_t limit);
/* Everything has been given back. Accepts zeroed memory. */
void ckiti_redis_pool_fini(ckiti_redis_pool *pool);
/* In a forked child, with the lock held: forgets all connections; releases the lock. */
void ckiti_redis_pool_forget(ckiti_redis_pool *pool);

/* A connection that is ready, an idle one if there is one. CKIT_E_POOL_EXHAUSTED when all are taken until `until_ms`,
 * or what connecting gives. Give it back with ckiti_redis_pool_give, closed or not. */
ckit_status ckiti_redis_pool_take(ckiti_redis_pool *pool, uint64_t until_ms, ckiti_redis_pooled **out, ckit_error *err);
void        ckiti_redis_pool_give(ckiti_redis_pool *pool, ckiti_redis_pooled *one);

/* How many there are, and how many are taken. */
void ckiti_redis_pool_count(ckiti_redis_pool *pool, uint32_t *all, uint32_t *taken);

#endif
