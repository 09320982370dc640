/* guard/backpressure.h - how many operations are with a store at once, how many more wait for their turn, and how long.
 *
 * Taking a free place is one compare-and-swap, giving it back one subtraction. Who finds none waits under a lock; the
 * wait is measured on the system's clock, whatever clock rules deadlines. */
#ifndef CKITI_GUARD_BACKPRESSURE_H
#define CKITI_GUARD_BACKPRESSURE_H

#include <cachekit/guard.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct ckiti_backpressure {
    uint32_t         most; /* at once */
    uint32_t         queue_size;
    uint32_t         queue_timeout_ms;
    pthread_mutex_t  mu;
    pthread_cond_t   freed;
    char             apart[64]; /* what every operation writes is on a cache line of its own */
    _Atomic uint64_t taken;     /* fork generation in the upper half, places in the lower */
    _Atomic uint32_t waiting;   /* written with the lock held */
    _Atomic uint64_t waited;
    _Atomic uint64_t rejected;
} ckiti_backpressure;

/* A place; whoever has it gives it back in the process that it was taken in. */
typedef struct ckiti_place {
    uint32_t generation;
    bool     taken;
} ckiti_place;

void ckiti_backpressure_init(ckiti_backpressure *b, uint32_t most, uint32_t queue_size, uint32_t queue_timeout_ms);
void ckiti_backpressure_fini(ckiti_backpressure *b);

/* Takes a free place without waiting; false (and not counted) when there is none. */
static inline bool ckiti_backpressure_try(ckiti_backpressure *b, ckiti_place *place) {
    uint64_t taken = atomic_load_explicit(&b->taken, memory_order_seq_cst);
    while ((uint32_t)taken < b->most) {
        if (atomic_compare_exchange_weak_explicit(&b->taken, &taken, taken + 1, memory_order_seq_cst,
                                                  memory_order_seq_cst)) {
            *place = (ckiti_place){.generation = (uint32_t)(taken >> 32), .taken = true};
            return true;
        }
    }
    return false;
}

/* Takes a place, waiting for it no longer than `longest_ms`, or the configured wait if that is shorter. CKIT_E_BUSY
 * when there is none. */
ckit_status ckiti_backpressure_wait(ckiti_backpressure *b, uint64_t longest_ms, ckiti_place *place, ckit_error *err);
/* Counts a refusal of somebody who could not wait. CKIT_E_BUSY. */
ckit_status ckiti_backpressure_reject(ckiti_backpressure *b, ckit_error *err);

void ckiti_backpressure_wake(ckiti_backpressure *b);

static inline void ckiti_backpressure_give_back(ckiti_backpressure *b, const ckiti_place *place) {
    uint64_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);
    if (!place->taken || (uint32_t)(taken >> 32) != place->generation) {
        return; /* taken before a fork: the child counts from nothing */
    }
    atomic_fetch_sub_explicit(&b->taken, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&b->waiting, memory_order_seq_cst) > 0) {
        ckiti_backpressure_wake(b);
    }
}

uint32_t ckiti_backpressure_in_flight(const ckiti_backpressure *b);
void     ckiti_backpressure_fork_prepare(ckiti_backpressure *b);
void     ckiti_backpressure_fork_parent(ckiti_backpressure *b);
void     ckiti_backpressure_fork_child(ckiti_backpressure *b);

#endif
