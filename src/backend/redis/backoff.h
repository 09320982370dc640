/* backoff.h - pauses between attempts to connect, shared by all connections to one server. Thread-safe. */
#ifndef CKITI_REDIS_BACKOFF_H
#define CKITI_REDIS_BACKOFF_H

#include <cachekit/error.h>
#include <pthread.h>

typedef struct ckiti_redis_backoff {
    pthread_mutex_t lock; /* a leaf: guards what follows */
    uint32_t        max_ms;
    uint32_t        failures; /* in a row */
    uint64_t        next_ms;  /* no attempt before; 0: any time */
    ckit_error      last;
} ckiti_redis_backoff;

void ckiti_redis_backoff_init(ckiti_redis_backoff *b, uint32_t max_ms);
void ckiti_redis_backoff_fini(ckiti_redis_backoff *b);

/* Whether somebody may try now. When not, the last failure says why, with sys_errno EAGAIN. */
ckit_status ckiti_redis_backoff_ask(ckiti_redis_backoff *b, uint64_t now_ms, ckit_error *err);
/* No pause any more; the next one is as long as if there had been no word of this. */
void ckiti_redis_backoff_hurry(ckiti_redis_backoff *b);
/* How an attempt ended. Pauses double from 200 ms up to the longest, each taken between a half and the whole of it:
 * with the usual longest one of 2 s, five attempts in a row, which open the circuit of a guard, take a second and a
 * half at least, so that a server may be restarted meanwhile. */
void ckiti_redis_backoff_failed(ckiti_redis_backoff *b, uint64_t now_ms, const ckit_error *why);
void ckiti_redis_backoff_succeeded(ckiti_redis_backoff *b);

#endif
