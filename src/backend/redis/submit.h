/* submit.h - calls of requests that were handed over, kept for the next ones. */
#ifndef CKITI_REDIS_SUBMIT_H
#define CKITI_REDIS_SUBMIT_H

#include <cachekit/types.h>
#include <pthread.h>

typedef struct ckiti_redis_handed ckiti_redis_handed;

typedef struct ckiti_redis_spare {
    pthread_mutex_t     lock; /* a leaf: guards what follows */
    ckiti_redis_handed *first;
    uint32_t            count;
} ckiti_redis_spare;

void ckiti_redis_handed_init(ckiti_redis_spare *spare);
void ckiti_redis_handed_fini(ckiti_redis_spare *spare, const ckit_alloc *alloc);

#endif
