#include "backoff.h"

#include "address.h"
#include "base/random.h"

#include <errno.h>
#include <inttypes.h>

#define FIRST_PAUSE_MS 200u

void ckiti_redis_backoff_init(ckiti_redis_backoff *b, uint32_t max_ms) {
    *b = (ckiti_redis_backoff){.max_ms = max_ms};
    pthread_mutex_init(&b->lock, NULL);
}

void ckiti_redis_backoff_fini(ckiti_redis_backoff *b) { pthread_mutex_destroy(&b->lock); }

ckit_status ckiti_redis_backoff_ask(ckiti_redis_backoff *b, uint64_t now_ms, ckit_error *err) {
    ckit_status st = CKIT_OK;
    pthread_mutex_lock(&b->lock);
    if (now_ms < b->next_ms) {
        st = ckit_fail(err, b->last.status, CKITI_REDIS_WHERE, "%.200s (%" PRIu32 " in a row)", b->last.text,
                       b->failures);
        if (err != NULL) {
            err->sys_errno = EAGAIN;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return st;
}

void ckiti_redis_backoff_hurry(ckiti_redis_backoff *b) {
    pthread_mutex_lock(&b->lock);
    b->next_ms = 0;
    pthread_mutex_unlock(&b->lock);
}

void ckiti_redis_backoff_failed(ckiti_redis_backoff *b, uint64_t now_ms, const ckit_error *why) {
    pthread_mutex_lock(&b->lock);
    uint64_t pause = b->failures < 20 ? (uint64_t)FIRST_PAUSE_MS << b->failures : b->max_ms;
    pause = pause < b->max_ms ? pause : b->max_ms;
    pause -= ckiti_random_u64() % (pause / 2 + 1);
    b->failures++;
    b->next_ms = now_ms + pause;
    b->last = *why;
    pthread_mutex_unlock(&b->lock);
}

void ckiti_redis_backoff_succeeded(ckiti_redis_backoff *b) {
    pthread_mutex_lock(&b->lock);
    b->failures = 0;
    b->next_ms = 0;
    pthread_mutex_unlock(&b->lock);
}
