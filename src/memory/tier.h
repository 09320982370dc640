/* memory/tier.h - the parts of a tier, for the files that implement it.
 *
 *     l1.c       open, put, remove, touch, invalidation, statistics, fork
 *     l1_read.c  get, get_many, peek: without locks
 *     space.c    where room comes from: eviction, memory that readers may still look at, pages for another size
 *     sweep.c    expired and invalidated entries
 *
 * Locks, in the order in which they may be taken together: shard -> arena -> books. At most one shard's lock is held
 * at a time (but before fork, when all are, in order). Objects are released, values unmapped and announcements
 * inspected with none held. */
#ifndef CKITI_MEMORY_TIER_H
#define CKITI_MEMORY_TIER_H

#include "base/hash.h"
#include "memory/arena.h"
#include "memory/readers.h"
#include "memory/table.h"

#define CKITI_MAX_SHARDS 64u

/* Entries taken out of the table that readers may still look at, linked through node.next. */
typedef struct ckiti_limbo {
    uint32_t     first;
    uint32_t     count;
    uint64_t     bytes;
    ckiti_table *tables; /* replaced ones */
} ckiti_limbo;

typedef struct ckiti_shard {
    pthread_mutex_t    lock; /* guards all of the shard; what others look at is atomic besides */
    ckiti_table       *table;
    uint64_t           seed;
    const ckiti_arena *arena;
    _Atomic uint64_t  *removals; /* one of the tier's */
    ckiti_policy       policy;
    uint64_t           policy_bytes; /* as charged */
    ckiti_limbo        limbo;
    uint64_t           heavy;   /* entries that own more than their piece, or may be held */
    _Atomic uint64_t   bytes;   /* what its entries are charged with; written under the lock */
    _Atomic uint64_t   entries; /* these too */
    _Atomic uint64_t   grow_at; /* entries at which table or policy need more memory */
    _Atomic uint64_t   puts;
    _Atomic uint64_t   evicted;
    _Atomic uint64_t   expired;
    _Atomic uint64_t   rejected;
    _Atomic uint64_t   hits, stale_hits, misses; /* of readers that had to take the lock */
} ckiti_shard;

struct ckiti_l1 {
    /* what readers look at, and what seldom changes */
    uint64_t               seed;
    uint32_t               shard_count;
    _Atomic uint64_t       floor; /* entries born before it are gone */
    ckiti_readers          readers;
    ckiti_arena            arena;
    _Atomic(ckiti_table *) tables[CKITI_MAX_SHARDS];   /* of each shard, as published */
    _Atomic uint64_t       removals[CKITI_MAX_SHARDS]; /* entries of each shard that went out of reach or changed their
                                                          lifetime: counted after that, before anything of theirs is
                                                          released */
    ckiti_shard           *shards;                     /* aligned to 64 */
    void                  *shards_block;
    const ckit_alloc      *alloc;
    void                  *block;       /* what the allocator gave for the tier */
    uint64_t               fixed_bytes; /* charged from open to close */
    uint64_t               limbo_limit; /* bytes that a shard may keep in limbo before they are looked through */

    _Alignas(64) _Atomic uint64_t births;
    ckiti_books      books;
    _Atomic uint64_t lives; /* the tier itself, and entries that are out of the table but held */

    pthread_mutex_t sweep_lock; /* guards the two below; taken before a shard's */
    uint32_t        sweep_shard;
    uint32_t        sweep_bucket;
};

static inline uint32_t ckiti_shard_index(const ckiti_l1 *l1, uint64_t hash) {
    return (uint32_t)((uint64_t)(uint32_t)hash * l1->shard_count >> 32);
}
static inline ckiti_shard *ckiti_shard_of(const ckiti_l1 *l1, uint64_t hash) {
    return &l1->shards[ckiti_shard_index(l1, hash)];
}

/* For counters that are written under a lock and read without. */
static inline void ckiti_add(_Atomic uint64_t *counter, uint64_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}
static inline uint64_t ckiti_look(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}
/* After an entry went out of reach, or changed. The lock is held. */
static inline void ckiti_count_removal(ckiti_shard *shard) {
    atomic_store_explicit(shard->removals, ckiti_look(shard->removals) + 1, memory_order_release);
}
/* Whether the entry answers the query: CKIT_OK, CKIT_STALE or CKIT_MISS. The entry cannot be freed meanwhile. */
ckit_status ckiti_entry_judge(const ckiti_l1 *l1, ckiti_entry *entry, const ckiti_l1_query *query, uint64_t now_ms);

/* ---- space.c --------------------------------------------------------------------------------------------- */

/* What an entry will need. */
typedef struct ckiti_need {
    size_t piece;   /* bytes of its piece, not rounded */
    size_t outside; /* bytes charged beside it: a mapping, an object */
} ckiti_need;

/* The charge of an entry: its piece and what it owns beside it. */
uint64_t           ckiti_entry_charge(const ckiti_arena *arena, ckiti_entry *entry);
ckiti_policy_facts ckiti_describe(const ckiti_policy *policy, const ckiti_policy_node *node);

/* Takes an entry out of its shard's table into `limbo`. The lock is held; the policy has let go of it. */
void ckiti_unlink(ckiti_shard *shard, ckiti_place place, uint64_t hash, ckiti_entry *entry, ckiti_limbo *limbo);
/* Puts an entry that is out of the table into `limbo`. */
void ckiti_limbo_add(ckiti_limbo *limbo, const ckiti_arena *arena, ckiti_entry *entry);
/* Takes the shard's limbo when it is worth looking through. The lock is held. */
ckiti_limbo ckiti_limbo_due(const ckiti_l1 *l1, ckiti_shard *shard);
/* Frees what no reader looks at and gives the rest to the shard's limbo. No lock is held. */
void ckiti_reclaim(ckiti_l1 *l1, ckiti_shard *shard, ckiti_limbo *limbo);

/* A piece, with need->outside charged; evicts. 0 when there is no room and nothing to evict. */
uint32_t ckiti_make_room(ckiti_l1 *l1, ckiti_shard *own, const ckiti_need *need);
/* Gives back what ckiti_make_room gave, unused. */
void ckiti_return_room(ckiti_l1 *l1, uint32_t reference, const ckiti_need *need);
/* Evicts until the budget holds again, after bookkeeping has grown. */
void ckiti_settle(ckiti_l1 *l1, ckiti_shard *own);

/* Evicts one entry into the shard's limbo. The lock is held. False when there is none. */
bool ckiti_evict_one(ckiti_l1 *l1, ckiti_shard *shard);

/* Drops one reference of an entry that is out of reach and frees it with the last one. No lock is held. */
void ckiti_entry_drop(ckiti_l1 *l1, ckiti_entry *entry);
/* Ends the tier when it was the last of its lives. */
void ckiti_l1_life_ends(ckiti_l1 *l1);

#endif
