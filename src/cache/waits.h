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
#include <string.h>
#include <time.h>

#define CKITI_WAIT_CHAINS 256u /* batches may wait for thousands */

typedef struct ckiti_wait_link {
    struct ckiti_wait *next;
    struct ckiti_wait *prev;
} ckiti_wait_link;

/* Part of a call; all zero: it does not wait. */
typedef struct ckiti_wait {
    ckiti_wait_link by_hash;
    ckiti_wait_link by_key;
    uint64_t        hash;     /* of the key in memory */
    uint64_t        key_hash; /* of the store's key, as notes have it (coherence.h); 0: the store does not watch */
    uint64_t        forks;
    bool            listed;
    bool            woken;
    pthread_cond_t *cond; /* of a blocking call; else `wake` is called, with the lock held */
    void (*wake)(struct ckiti_wait *wait);
} ckiti_wait;

typedef struct ckiti_waits {
    pthread_mutex_t mu; /* guards the chains; taken after the stripes' (stripes.h), before the workers' */
    ckiti_wait     *by_hash[CKITI_WAIT_CHAINS];
    ckiti_wait     *by_key[CKITI_WAIT_CHAINS];
    _Atomic size_t  count;
    uint64_t        forks;
} ckiti_waits;

static inline void ckiti_waits_init(ckiti_waits *waits) { pthread_mutex_init(&waits->mu, NULL); }
static inline void ckiti_waits_fini(ckiti_waits *waits) { pthread_mutex_destroy(&waits->mu); }

static inline ckiti_wait **ckiti_waits_chain(ckiti_wait **chains, uint64_t hash) {
    return &chains[(hash >> 24) % CKITI_WAIT_CHAINS];
}

static inline void ckiti_wait_begin(ckiti_waits *waits, ckiti_wait *wait) {
    pthread_mutex_lock(&waits->mu);
    ckiti_wait **mine = ckiti_waits_chain(waits->by_hash, wait->hash);
    ckiti_wait **keys = ckiti_waits_chain(waits->by_key, wait->key_hash);
    wait->woken = false;
    wait->listed = true;
    wait->forks = waits->forks;
    wait->by_hash = (ckiti_wait_link){.next = *mine};
    wait->by_key = (ckiti_wait_link){.next = *keys};
    if (*mine != NULL) {
        (*mine)->by_hash.prev = wait;
    }
    if (*keys != NULL) {
        (*keys)->by_key.prev = wait;
    }
    *mine = *keys = wait;
    atomic_fetch_add(&waits->count, 1);
    pthread_mutex_unlock(&waits->mu);
}

static inline void ckiti_waits_unlink(ckiti_waits *waits, ckiti_wait *wait) {
    ckiti_wait_link *mine = &wait->by_hash, *key = &wait->by_key;
    *(mine->prev != NULL ? &mine->prev->by_hash.next : ckiti_waits_chain(waits->by_hash, wait->hash)) = mine->next;
    *(key->prev != NULL ? &key->prev->by_key.next : ckiti_waits_chain(waits->by_key, wait->key_hash)) = key->next;
    if (mine->next != NULL) {
        mine->next->by_hash.prev = mine->prev;
    }
    if (key->next != NULL) {
        key->next->by_key.prev = key->prev;
    }
    atomic_fetch_sub(&waits->count, 1);
}

/* Also for one that does not wait. */
static inline void ckiti_wait_end(ckiti_waits *waits, ckiti_wait *wait) {
    if (wait->listed) { /* only its own call changes that */
        pthread_mutex_lock(&waits->mu);
        if (wait->forks == waits->forks) { /* else the chains it was in are the parent's */
            ckiti_waits_unlink(waits, wait);
        }
        wait->listed = false;
        pthread_mutex_unlock(&waits->mu);
    }
}

/* With the lock held, in a forked child: who waits stayed in the parent. */
static inline void ckiti_waits_forked(ckiti_waits *waits) {
    memset(waits->by_hash, 0, sizeof waits->by_hash);
    memset(waits->by_key, 0, sizeof waits->by_key);
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

/* With the lock held. */
static inline void ckiti_wait_wake(ckiti_wait *wait) {
    if (!wait->woken) {
        wait->woken = true;
        if (wait->cond != NULL) {
            pthread_cond_signal(wait->cond);
        } else {
            wait->wake(wait);
        }
    }
}

/* Wakes those with one of the hashes; 0 is nobody's. */
static inline void ckiti_waits_wake(ckiti_waits *waits, uint64_t hash, uint64_t key_hash) {
    if (atomic_load(&waits->count) == 0) {
        return;
    }
    pthread_mutex_lock(&waits->mu);
    ckiti_wait *wait = hash != 0 ? *ckiti_waits_chain(waits->by_hash, hash) : NULL;
    for (; wait != NULL; wait = wait->by_hash.next) {
        if (wait->hash == hash) {
            ckiti_wait_wake(wait);
        }
    }
    wait = key_hash != 0 ? *ckiti_waits_chain(waits->by_key, key_hash) : NULL;
    for (; wait != NULL; wait = wait->by_key.next) {
        if (wait->key_hash == key_hash) {
            ckiti_wait_wake(wait);
        }
    }
    pthread_mutex_unlock(&waits->mu);
}

#endif
