/* memory/l1.h - one in-process tier: a bounded, concurrent table of immutable entries with lifetimes.
 *
 * Reading order: ckiti_l1_open, ckiti_l1_get, ckiti_l1_put, ckiti_l1_bump.
 *
 * Every function may be called from any thread unless it says otherwise. Readers take no lock and write nothing that
 * other threads read, but a small use counter. Time comes in as an argument. Nothing here does I/O or calls back into
 * a user's code, except an object's `release`, which is called without any lock held.
 *
 * An entry is found only while `birth >= query.min_birth` and `birth >= the tier's own floor`: births are readings of
 * one counter (ckiti_l1_birth) that every invalidation advances (ckiti_l1_bump). So a whole function or the whole tier
 * is invalidated by remembering one number, and a value whose computation began before an invalidation cannot come
 * back after it. */
#ifndef CKITI_MEMORY_L1_H
#define CKITI_MEMORY_L1_H

#include <cachekit/error.h>
#include <cachekit/types.h>
#include <stdbool.h>

typedef struct ckiti_l1 ckiti_l1;

/* Bytes that several tiers share: the process-wide bound above each tier's own. */
typedef struct ckiti_l1_budget {
    _Atomic uint64_t used_bytes;
    uint64_t         max_bytes;
} ckiti_l1_budget;

typedef struct ckiti_l1_options {
    uint64_t          max_bytes; /* keys, values, objects and bookkeeping together; at least 64 KiB */
    ckiti_l1_budget  *shared;    /* NULL: none. Must outlive the tier */
    const ckit_alloc *alloc;     /* NULL = malloc. Large arenas come from mmap */
    uint64_t          seed;      /* of the table's hash; 0 = random */
} ckiti_l1_options;

#define CKITI_L1_MAX_KEY_BYTES 4096u /* longer keys are refused: the caller hashes them down */

ckit_status ckiti_l1_open(const ckiti_l1_options *options, ckiti_l1 **out, ckit_error *err);
/* No other call is under way or comes later; values that readers still hold stay valid. Accepts NULL. */
void ckiti_l1_close(ckiti_l1 *l1);

/* What is looked for. `tag` is the caller's word for how the bytes are meant; an entry with another tag is a miss. */
typedef struct ckiti_l1_query {
    ckit_slice key;
    uint64_t   hash; /* ckiti_l1_hash(l1, key) */
    uint64_t   min_birth;
    uint8_t    tag;
} ckiti_l1_query;

uint64_t ckiti_l1_hash(const ckiti_l1 *l1, ckit_slice key);

/* CKIT_OK: fresh. CKIT_STALE: past its lifetime, within its stale window. CKIT_MISS: absent, expired or invalidated;
 * `out` is untouched. A value of up to CKIT_VALUE_INLINE bytes is copied into `out`, a larger one is held by reference.
 * `out` must be empty, or hold nothing to release (`release` NULL), as after a copied value. */
ckit_status ckiti_l1_get(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out);
/* Fills an empty value with what another one holds by reference. False: that one was not held by the memory tier. */
bool ckiti_l1_hold_again(const ckit_value *held, ckit_value *out);
/* As ckiti_l1_get for whoever has nothing better: gives what is in its reserve too. Counts as no use and for no statistics. */
ckit_status ckiti_l1_get_late(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, ckit_value *out);
/* The same for an object, which is a miss when the entry holds bytes: `retain` takes a hold of it while it cannot go
 * away. It is called with nothing locked, but inside the look: it must not call back into the cache, and has to be
 * short. `hint` (may be NULL) is filled when the answer is CKIT_OK. */
ckit_status ckiti_l1_get_object(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms,
                                void (*retain)(void *object), void **object, ckit_object_hint *hint);
/* Whether the same look would find the same object. No use is counted. */
bool ckiti_l1_hint_holds(const ckiti_l1 *l1, const ckit_object_hint *hint, uint64_t min_birth, uint64_t now_ms);
/* The same for many keys, with the table's lines prefetched. answers[i] as above. */
void ckiti_l1_get_many(ckiti_l1 *l1, const ckiti_l1_query *queries, size_t count, uint64_t now_ms, ckit_value *out,
                       ckit_status *answers);
/* The remaining life of a live entry, or with CKIT_STALE what remains of its stale window, reserve included, without
 * counting as a use. CKIT_OK, CKIT_STALE or CKIT_MISS. */
ckit_status ckiti_l1_peek(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t now_ms, uint64_t *life_ms);

/* What is stored: bytes, or an object instead of bytes. */
typedef struct ckiti_l1_put_args {
    ckit_slice         key;
    uint64_t           hash;
    ckit_slice         value;
    const ckit_object *object;     /* NULL: `value` is stored. Owned by the tier when CKIT_OK is returned */
    uint64_t           life_ms;    /* > 0, or CKIT_LIFE_NO_EXPIRY; 0 with a stale window: stale from the beginning */
    uint64_t           stale_ms;   /* how long it may be served past its lifetime; 0 = not at all */
    uint64_t           reserve_ms; /* the last part of stale_ms, in which only ckiti_l1_get_late gives it; 0 = none */
    uint64_t           birth;      /* ckiti_l1_birth() from before the value was computed or read */
    uint8_t            tag;
} ckiti_l1_put_args;

/* Stores a copy, replacing what was there, and evicts until the budget holds. CKIT_OK; CKIT_MISS when an invalidation
 * came after `birth` (nothing is stored); CKIT_E_TOO_LARGE when it can never fit, CKIT_E_NO_MEMORY when there is no
 * room and nothing to evict: in both cases an older entry of the key is gone, so that nothing outdated stays. */
ckit_status ckiti_l1_put(ckiti_l1 *l1, const ckiti_l1_put_args *args, uint64_t now_ms);
/* CKIT_OK or CKIT_MISS. */
ckit_status ckiti_l1_remove(ckiti_l1 *l1, ckit_slice key, uint64_t hash);
/* Removes every entry whose name has this hash, and tells how many of them could still be found. */
size_t ckiti_l1_remove_hash(ckiti_l1 *l1, uint64_t hash);
/* There is an entry whose name has this hash, that no ckiti_l1_invalidate_all has hit. */
bool ckiti_l1_has_hash(ckiti_l1 *l1, uint64_t hash);
/* Counts bytes that somebody keeps beside the tier, for its entries, against its budget; the next ckiti_l1_put makes
 * room. And takes them off again. */
void ckiti_l1_charge(ckiti_l1 *l1, uint64_t bytes);
void ckiti_l1_discharge(ckiti_l1 *l1, uint64_t bytes);
/* Gives a live entry a new lifetime from now. CKIT_OK or CKIT_MISS. */
ckit_status ckiti_l1_touch(ckiti_l1 *l1, const ckiti_l1_query *query, uint64_t life_ms, uint64_t now_ms);

/* The counter's present reading: what a value that is computed from now on is born with. Starts at 1. */
uint64_t ckiti_l1_birth(const ckiti_l1 *l1);
/* Advances the counter and returns the new reading: the floor under which a function's entries are gone. */
uint64_t ckiti_l1_bump(ckiti_l1 *l1);
/* Invalidates everything, in constant time; the memory comes back through eviction and sweeps. */
void ckiti_l1_invalidate_all(ckiti_l1 *l1);

/* Frees up to `max_entries` entries' worth of expired or invalidated ones, going on where the last sweep ended.
 * `is_dead` (may be NULL) tells about entries below their function's floor. Returns the number freed. Meant for a
 * background thread; holds a shard's lock for short spans only. */
size_t ckiti_l1_sweep(ckiti_l1 *l1, uint64_t now_ms, size_t max_entries,
                      bool (*is_dead)(void *context, ckit_slice key, uint64_t birth), void *context);

typedef struct ckiti_l1_stats {
    uint64_t entries;
    uint64_t used_bytes; /* everything that counts against the budget */
    uint64_t max_bytes;
    uint64_t hits;
    uint64_t stale_hits;
    uint64_t misses;
    uint64_t puts;
    uint64_t evicted;
    uint64_t expired;
    uint64_t rejected; /* puts that did not fit */
} ckiti_l1_stats;
void ckiti_l1_get_stats(ckiti_l1 *l1, ckiti_l1_stats *out);

/* Called by the owner's fork hooks (base/fork.h). */
void ckiti_l1_fork_prepare(ckiti_l1 *l1);
void ckiti_l1_fork_parent(ckiti_l1 *l1);
void ckiti_l1_fork_child(ckiti_l1 *l1);

#endif
