#include "guard/backpressure.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

static void init_lock(ckiti_backpressure *b) {
    pthread_mutex_init(&b->mu, NULL);
    ckiti_cond_init(&b->freed);
}

void ckiti_backpressure_init(ckiti_backpressure *b, uint32_t most, uint32_t queue_size, uint32_t queue_timeout_ms) {
    memset(b, 0, sizeof *b);
    b->most = most;
    b->queue_size = queue_size;
    b->queue_timeout_ms = queue_timeout_ms;
    init_lock(b);
}

void ckiti_backpressure_fini(ckiti_backpressure *b) {
    pthread_cond_destroy(&b->freed);
    pthread_mutex_destroy(&b->mu);
}

uint32_t ckiti_backpressure_in_flight(const ckiti_backpressure *b) { return (uint32_t)atomic_load(&b->taken); }

ckit_status ckiti_backpressure_reject(ckiti_backpressure *b, ckit_error *err) {
    atomic_fetch_add_explicit(&b->rejected, 1, memory_order_relaxed);
    return ckit_fail(err, CKIT_E_BUSY, "guard", "%u operations are with the store and none may wait", b->most);
}

ckit_status ckiti_backpressure_wait(ckiti_backpressure *b, uint64_t longest_ms, ckiti_place *place, ckit_error *err) {
    uint64_t        ms = longest_ms < b->queue_timeout_ms ? longest_ms : b->queue_timeout_ms;
    struct timespec until = ckiti_real_time_in(ms);
    bool            taken = false;
    pthread_mutex_lock(&b->mu);
    uint32_t ahead = atomic_load_explicit(&b->waiting, memory_order_relaxed);
    bool     queued = ahead < b->queue_size;
    if (queued) {
        /* First said, then looked: who gives a place back looks in the other order, so one of the two sees the
         * other. */
        atomic_store_explicit(&b->waiting, ahead + 1, memory_order_seq_cst);
        int woken = 0;
        while (!(taken = ckiti_backpressure_try(b, place)) && woken != ETIMEDOUT) {
            woken = pthread_cond_timedwait(&b->freed, &b->mu, &until);
        }
        atomic_fetch_sub_explicit(&b->waiting, 1, memory_order_seq_cst);
    }
    pthread_mutex_unlock(&b->mu);
    atomic_fetch_add_explicit(taken ? &b->waited : &b->rejected, 1, memory_order_relaxed);
    if (taken) {
        return CKIT_OK;
    }
    return queued ? ckit_fail(err, CKIT_E_BUSY, "guard",
                              "%u operations are with the store, and none was done within %llu ms", b->most,
                              (unsigned long long)ms)
                  : ckit_fail(err, CKIT_E_BUSY, "guard", "%u operations are with the store and %u wait", b->most,
                              b->queue_size);
}

void ckiti_backpressure_wake(ckiti_backpressure *b) {
    pthread_mutex_lock(&b->mu);
    pthread_cond_signal(&b->freed);
    pthread_mutex_unlock(&b->mu);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_backpressure_fork_prepare(ckiti_backpressure *b) { pthread_mutex_lock(&b->mu); }

void ckiti_backpressure_fork_parent(ckiti_backpressure *b) { pthread_mutex_unlock(&b->mu); }

void ckiti_backpressure_fork_child(ckiti_backpressure *b) {
    uint64_t generation = (atomic_load(&b->taken) >> 32) + 1;
    atomic_store(&b->taken, generation << 32);
    atomic_store(&b->waiting, 0);
    init_lock(b); /* its waiters stayed in the parent */
}
