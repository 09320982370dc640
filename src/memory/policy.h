/* memory/policy.h - which entry leaves when a shard is full.
 *
 * Reading order: struct ckiti_policy_node, ckiti_policy_init, ckiti_policy_insert, ckiti_policy_hit,
 * ckiti_policy_evict.
 *
 * An intrusive component: the owner puts a node into each of its entries, and the policy links the nodes. Every call
 * but ckiti_policy_hit is made under the owner's lock; ckiti_policy_hit may run in any thread at any time while the
 * node's memory is readable, and all it ever does is to raise a small counter in the node.
 *
 * A newcomer waits in a small first-in-first-out window. When it leaves the window it stays only if it has been asked
 * for more often than an entry of the main ring, which is then evicted in its place; a draw is the resident's, so that
 * a loop longer than the cache still hits. Hits in the window weigh more, and widen it: then recent use is what counts.
 * What was evicted is remembered in a small table of counters that fade, so that a key that keeps coming back is
 * recognised. A resident that nobody asks for over some rounds of newcomers counts as if it had just come. */
#ifndef CKITI_MEMORY_POLICY_H
#define CKITI_MEMORY_POLICY_H

#include <cachekit/error.h>
#include <cachekit/types.h>
#include <stdatomic.h>

#define CKITI_POLICY_FREQUENCY_MAX 15u

/* Twelve bytes of every entry. The owner allocates it, aligned to 8 bytes, at `base + reference * 8` with a reference
 * of 1 to 2^32 - 1, and need not initialise it before ckiti_policy_insert. Only `spare` is the owner's to use. */
typedef struct ckiti_policy_node {
    uint32_t        prev, next; /* references; 0 = none */
    _Atomic uint8_t frequency;  /* 0 to CKITI_POLICY_FREQUENCY_MAX */
    uint8_t         state;
    uint16_t        spare;
} ckiti_policy_node;

/* What the policy asks about a node it holds: the key's hash and the bytes the entry is charged with. Both must be the
 * same for as long as the node is in the policy, and the hash also for later entries of the same key. Called under the
 * owner's lock; must not call the policy. `policy` leads the owner to the shard it is embedded in (the hash's seed). */
typedef struct ckiti_policy_facts {
    uint64_t hash;
    uint64_t bytes;
} ckiti_policy_facts;
typedef struct ckiti_policy ckiti_policy;
typedef ckiti_policy_facts (*ckiti_policy_describe)(const ckiti_policy *policy, const ckiti_policy_node *node);

/* A ring of nodes: `head` is the next to be looked at, and a node that joins does so before it. */
typedef struct ckiti_policy_ring {
    uint32_t head; /* 0 = empty */
    size_t   count;
    uint64_t bytes;
} ckiti_policy_ring;

/* Private, but embedded by value in the owner's shard. */
struct ckiti_policy {
    char                 *base;
    ckiti_policy_describe describe;
    const ckit_alloc     *alloc;
    ckiti_policy_ring     rings[2];      /* window, main */
    uint64_t              most_bytes;    /* that the policy ever held */
    uint64_t              window_share;  /* the window's part of all bytes, in 2^-32 */
    uint64_t              displaced;     /* bytes that the entry at the window's head has driven out so far */
    uint64_t             *counters;      /* 32 counters of 2 bits a word; eight words are one cache line */
    size_t                counter_words; /* a power of two */
    size_t                grow_above;    /* entries for which the counters suffice */
    size_t                fade_at;       /* the next word to fade */
    uint64_t              fade_credit;
    uint32_t              round; /* completed rounds of fading */
};

/* `base` is where references count from; `expected_entries` sizes the table of counters, which doubles by itself when
 * more come (and stays as it is where there is no memory for that). Uses 64 bytes at least; beyond that 2 to 4 bytes an
 * entry when it has grown by itself.
 * CKIT_OK or CKIT_E_NO_MEMORY. A zeroed policy may be given to ckiti_policy_fini. */
ckit_status ckiti_policy_init(ckiti_policy *policy, void *base, ckiti_policy_describe describe, size_t expected_entries,
                              const ckit_alloc *alloc, ckit_error *err);
/* Forgets the nodes without touching them. Accepts a zeroed or half-built policy. */
void ckiti_policy_fini(ckiti_policy *policy);

/* Takes a new entry in. Never fails and never evicts: the owner calls ckiti_policy_evict until there is room, before
 * it inserts, so that a newcomer is not itself the victim in a shard of few entries. */
void ckiti_policy_insert(ckiti_policy *policy, ckiti_policy_node *node);

/* The entry is removed or has expired: unlinks the node and remembers nothing. */
void ckiti_policy_remove(ckiti_policy *policy, ckiti_policy_node *node);

/* A new entry takes an old one's place for the same key (same hash), or the entry itself has moved: the new node
 * inherits the place and the counter, and the old one is unlinked. Preferred to remove and insert, which would lose
 * what is known about the key. Where a new value is a use of the key, say so with ckiti_policy_hit first. */
void ckiti_policy_replace(ckiti_policy *policy, ckiti_policy_node *old_node, ckiti_policy_node *new_node);

/* Chooses the entry to give up, unlinks and remembers it. NULL when there is none. */
ckiti_policy_node *ckiti_policy_evict(ckiti_policy *policy);

/* Bytes of the table of counters, for the owner's books. They double when there are more entries than
 * ckiti_policy_room. */
size_t               ckiti_policy_memory_bytes(const ckiti_policy *policy);
static inline size_t ckiti_policy_room(const ckiti_policy *policy) { return policy->grow_above; }

/* The entry was used. Writes to the node only while its counter is not full, so a hot entry's line stays clean. Lost
 * updates between threads are harmless. */
static inline void ckiti_policy_hit(ckiti_policy_node *node) {
    uint8_t frequency = atomic_load_explicit(&node->frequency, memory_order_relaxed);
    if (frequency < CKITI_POLICY_FREQUENCY_MAX) {
        atomic_store_explicit(&node->frequency, (uint8_t)(frequency + 1), memory_order_relaxed);
    }
}

#endif
