/* cache/waits.h - calls that pause until they look into the store again, and what ends the pause early: somebody in
 * this process has changed the entry or let its lock go, or the store tells that somebody elsewhere has changed it. A
 * wake-up may get lost between a look and its pause; the pause is short (op.c), and so is the harm. */
#ifndef CKITI_CACHE_WAITS_H
#define CKITI_CACHE_WAITS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Part of a call; all zero: it does not wait. */
typedef struct ckiti_wait {
    struct ckiti_wait *next;
    struct ckiti_wait *prev;
    uint64_t           hash;     /* of the key in memory */
    uint64_t           key_hash; /* of the store's key, as notes have it (coherence.h); 0: the store does not watch */
    uint64_t           forks;
    bool               listed;
    bool               woken;
    pthread_cond_t    *cond; /* of a blocking call; else `wake` is called, with the lock held */
    void (*wake)(struct ckiti_wait *wait);
} ckiti_wait;

typedef struct ckiti_waits {
    pthread_mutex_t mu; /* guards the list; taken after the stripes' (stripes.h), before the workers' */
    ckiti_wait     *first;
    _Atomic size_t  count;
    uint64_t        forks;
} ckiti_waits;

static inline void ckiti_waits_init(ckiti_waits *waits) { pthread_mutex_init(&waits->mu, NULL); }
static inline void ckiti_waits_fini(ckiti_waits *waits) { pthread_mutex_destroy(&waits->mu); }

static inline void ckiti_wait_begin(ckiti_waits *waits, ckiti_wait *wait) {
    pthread_mutex_lock(&waits->mu);
    wait->woken = false;
    wait->listed = true;
    wait->forks = waits->forks;
    wait->prev = NULL;
    wait->next = waits->first;
    if (wait->next != NULL) {
        wait->next->prev = wait;
    }
    waits->first = wait;
    atomic_fetch_add(&waits->count, 1);
    pthread_mutex_unlock(&waits->mu);
}

/* Also for one that does not wait. */
static inline void ckiti_wait_end(ckiti_waits *waits, ckiti_wait *wait) {
    if (wait->listed) { /* only its own call changes that */
        pthread_mutex_lock(&waits->mu);
        if (wait->forks == waits->forks) { /* else the list it was in is the parent's */
            *(wait->prev != NULL ? &wait->prev->next : &waits->first) = wait->next;
            if (wait->next != NULL) {
                wait->next->prev = wait->prev;
            }
            atomic_fetch_sub(&waits->count, 1);
        }
        wait->listed = false;
        pthread_mutex_unlock(&waits->mu);
    }
}

/* With the lock held, in a forked child: who waits stayed in the parent. */
static inline void ckiti_waits_forked(ckiti_waits *waits) {
    waits->first = NULL;
    waits->forks++;
    atomic_store(&waits->count, 0);
}

/* Pauses the calling thread, which has begun `wait` with a `cond`, until it is woken or the time (of the monotonic
 * clock) has come. */
static inline void ckiti_wait_pause(ckiti_waits *waits, ckiti_wait *wait, const struct timespec *until) {
    int late = 0;
    pthread_mutex_lock(&waits->mu);
    while (!wait->woken && late == 0) {
        late = pthread_cond_timedwait(wait->cond, &waits->mu, until);
    }
    pthread_mutex_unlock(&waits->mu);
}

/* Wakes those with one of the hashes; 0 is nobody's. */
static inline void ckiti_waits_wake(ckiti_waits *waits, uint64_t hash, uint64_t key_hash) {
    if (atomic_load(&waits->count) == 0) {
        return;
    }
    pthread_mutex_lock(&waits->mu);
    for (ckiti_wait *wait = waits->first; wait != NULL; wait = wait->next) {
        bool meant = (hash != 0 && wait->hash == hash) || (key_hash != 0 && wait->key_hash == key_hash);
        if (meant && !wait->woken) {
            wait->woken = true;
            if (wait->cond != NULL) {
                pthread_cond_signal(wait->cond);
            } else {
                wait->wake(wait);
            }
        }
    }
    pthread_mutex_unlock(&waits->mu);
}

#endif
