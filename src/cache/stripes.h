/* cache/stripes.h - versions that tell whether something happened to a key meanwhile.
 *
 * Whoever reads the store or computes a value notes the key's version first, and keeps the result only if the version
 * is still the same; whoever changes or removes an entry advances it. Check and put (or advance and remove) happen
 * under the stripe's lock, so an outdated value cannot slip in between. Keys share versions, so there are many more of
 * them than locks, and each remembers which two keys it was advanced for last: two changes for other keys are no alarm.
 * A false alarm (three changes for others) costs one fill, and perhaps a run of the function. What a batch keeps is no
 * change to its other calls (op_memory.c).
 *
 * A write to the store that was overtaken by an invalidation ("doomed") is taken back by its writer, but may be read
 * before that. So a stripe counts them, and what is read from the store while one is under way is not believed. */
#ifndef CKITI_CACHE_STRIPES_H
#define CKITI_CACHE_STRIPES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CKITI_STRIPES 32u
#define CKITI_STRIPE_VERSIONS 256u

/* `mu` guards the rest, but `versions` may be read without it. It is taken before the memory tier's own locks and never
 * held across the store or a function. */
typedef struct ckiti_stripe {
    pthread_mutex_t  mu;
    uint64_t         invalidations; /* so far */
    uint32_t         writing;       /* writes of functions' results to the store that are under way */
    uint32_t         doomed;        /* those of them that began before the last invalidation */
    _Atomic uint64_t versions
        [CKITI_STRIPE_VERSIONS]; /* upper half: count of changes; lower: marks of the last two keys, the last one lowest */
} ckiti_stripe;

typedef struct ckiti_stripes {
    ckiti_stripe stripe[CKITI_STRIPES];
} ckiti_stripes;

static inline ckiti_stripe *ckiti_stripe_of(ckiti_stripes *stripes, uint64_t hash) {
    return &stripes->stripe[(hash >> 32) % CKITI_STRIPES];
}

static inline _Atomic uint64_t *ckiti_version_of(ckiti_stripe *stripe, uint64_t hash) {
    return &stripe->versions[(hash >> 37) % CKITI_STRIPE_VERSIONS];
}

/* The same place for keys that share a version, another for others. */
static inline size_t ckiti_version_place(uint64_t hash) {
    return (size_t)((hash >> 32) % (CKITI_STRIPES * CKITI_STRIPE_VERSIONS));
}

static inline uint64_t ckiti_stripe_version(ckiti_stripe *stripe, uint64_t hash) {
    return atomic_load_explicit(ckiti_version_of(stripe, hash), memory_order_acquire);
}

/* Nothing happened to the key between the versions `since` and `now`, for sure. */
static inline bool ckiti_version_is_unchanged(uint64_t now, uint64_t hash, uint64_t since) {
    const uint32_t changes = (uint32_t)(now >> 32) - (uint32_t)(since >> 32);
    const bool     last_is_other = (uint16_t)now != (uint16_t)hash;
    const bool     one_before_is_other = (uint16_t)(now >> 16) != (uint16_t)hash;
    return now == since || (last_is_other && (changes == 1 || (changes == 2 && one_before_is_other)));
}

static inline bool ckiti_stripe_is_unchanged(ckiti_stripe *stripe, uint64_t hash, uint64_t since) {
    return ckiti_version_is_unchanged(ckiti_stripe_version(stripe, hash), hash, since);
}

/* The following with the lock held. */

static inline void ckiti_stripe_advance(ckiti_stripe *stripe, uint64_t hash) {
    const uint64_t before = ckiti_stripe_version(stripe, hash), changes = (before >> 32) + 1;
    const uint64_t marks = (before & 0xffff) << 16 | (hash & 0xffff);
    atomic_store_explicit(ckiti_version_of(stripe, hash), changes << 32 | marks, memory_order_release);
}

/* An invalidation of some of the stripe's keys has begun: their versions, or floors, have been advanced. */
static inline void ckiti_stripe_invalidate(ckiti_stripe *stripe) {
    stripe->invalidations++;
    stripe->doomed = stripe->writing;
}

/* Returns what ckiti_stripe_end_write is to be told. */
static inline uint64_t ckiti_stripe_begin_write(ckiti_stripe *stripe) {
    stripe->writing++;
    return stripe->invalidations;
}

/* The write is over and, if it was overtaken, taken back. */
static inline void ckiti_stripe_end_write(ckiti_stripe *stripe, uint64_t began) {
    if (stripe->writing > 0) { /* a forked child has forgotten its parent's */
        stripe->writing--;
        stripe->doomed -= began != stripe->invalidations && stripe->doomed > 0;
    }
}

/* Without the lock. */

static inline void ckiti_stripes_init(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        pthread_mutex_init(&stripes->stripe[i].mu, NULL); /* the rest is zero, as the cache was allocated */
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

/* With all locks held, in a forked child: whoever was writing stayed in the parent. */
static inline void ckiti_stripes_forget_writers(ckiti_stripes *stripes) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        stripes->stripe[i].writing = stripes->stripe[i].doomed = 0;
    }
}

#endif
