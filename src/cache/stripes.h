/* cache/stripes.h - versions that tell whether something happened to a key meanwhile.
 *
 * Whoever reads the store or computes a value notes the key's version first, and puts the result into memory only if
 * the version is still the same; whoever changes or removes an entry advances it. Check and put (or advance and
 * remove) happen under the stripe's lock, so an outdated value cannot slip in between. Keys share stripes: a false
 * alarm costs one missed fill. */
#ifndef CKITI_CACHE_STRIPES_H
#define CKITI_CACHE_STRIPES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define CKITI_STRIPES 32u

/* `mu` is taken before the memory tier's own locks and never held across the store or a function. */
typedef struct ckiti_stripe {
    pthread_mutex_t  mu;
    _Atomic uint64_t version;
    uint8_t          apart[64]; /* neighbours do not share a cache line */
} ckiti_stripe;

typedef struct ckiti_stripes {
    ckiti_stripe stripe[CKITI_STRIPES];
} ckiti_stripes;

static inline ckiti_stripe *ckiti_stripe_of(ckiti_stripes *stripes, uint64_t hash) {
    return &stripes->stripe[(hash >> 32) % CKITI_STRIPES];
}

static inline uint64_t ckiti_stripe_version(ckiti_stripe *stripe) {
    return atomic_load_explicit(&stripe->version, memory_order_acquire);
}

/* With the lock held. */
static inline void ckiti_stripe_advance(ckiti_stripe *stripe) {
    atomic_fetch_add_explicit(&stripe->version, 1, memory_order_acq_rel);
}

static inline void ckiti_stripes_init(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        pthread_mutex_init(&stripes->stripe[i].mu, NULL);
        atomic_init(&stripes->stripe[i].version, 0);
    }
}

static inline void ckiti_stripes_fini(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        pthread_mutex_destroy(&stripes->stripe[i].mu);
    }
}

static inline void ckiti_stripes_lock_all(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        pthread_mutex_lock(&stripes->stripe[i].mu);
    }
}

static inline void ckiti_stripes_unlock_all(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        pthread_mutex_unlock(&stripes->stripe[i].mu);
    }
}

#endif
