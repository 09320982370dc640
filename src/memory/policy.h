/* memory/policy.h - which entry leaves when a shard is full.
 *
 * Reading order: struct ckiti_policy_node, ckiti_policy_init, ckiti_policy_insert, ckiti_policy_hit, ckiti_policy_evict.
 *
 * An intrusive component: the owner puts a node into each of its entries, and the policy links the nodes. Every call
 * but ckiti_policy_hit is made under the owner's lock; ckiti_policy_hit may run in any thread at any time while the
 * node's memory is readable, and all it ever does is to raise a small counter in the node.
 *
 * A newcomer waits in a small first-in-first-out window. When it leaves the window it stays only if it has been asked
 * for more often than an entry of the main queue, which is then evicted in its place. What was evicted is remembered in
 * a small table of counters that fade, so that a key that keeps coming back is recognised. */
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
struct ckiti_policy;
typedef ckiti_policy_facts (*ckiti_policy_describe)(const struct ckiti_policy *policy, const ckiti_policy_node *node);

typedef struct ckiti_policy_queue {
    uint32_t head, tail; /* entries join at the tail and leave at the head */
    uint64_t bytes;
    size_t   count;
} ckiti_policy_queue;

/* Private, but embedded by value in the owner's shard. */
typedef struct ckiti_policy {
    char                 *base;
    ckiti_policy_describe describe;
    const ckit_alloc     *alloc;
    ckiti_policy_queue    queues[2];
    uint64_t             *counters;      /* 16 counters of 4 bits a word; eight words are one cache line */
    size_t                counter_words; /* a power of two */
    size_t                fade_at;       /* the next word to fade */
    uint64_t              fade_credit;
    uint32_t              epoch; /* completed rounds of fading */
    uint32_t              window_permille;
} ckiti_policy;

/* `base` is where references count from; `expected_entries` sizes the table of counters, which doubles by itself when
 * more come. Uses 64 bytes at least, and at most 4 bytes an entry beyond that.
 * CKIT_OK or CKIT_E_NO_MEMORY. A zeroed policy may be given to ckiti_policy_fini. */
ckit_status ckiti_policy_init(ckiti_policy *policy, void *base, ckiti_policy_describe describe,
                              size_t expected_entries, const ckit_alloc *alloc, ckit_error *err);
/* Forgets the nodes without touching them. Accepts a zeroed or half-built policy. */
void ckiti_policy_fini(ckiti_policy *policy);

/* Takes a new entry in. Never fails and never evicts: the owner calls ckiti_policy_evict until it is under budget,
 * before or after, as it likes. */
void ckiti_policy_insert(ckiti_policy *policy, ckiti_policy_node *node);

/* The entry is removed, has expired or is replaced: unlinks the node and remembers nothing. */
void ckiti_policy_remove(ckiti_policy *policy, ckiti_policy_node *node);

/* A new entry takes an old one's place for the same key (same hash): it inherits the place and the counter. The old
 * node is unlinked. Preferred to remove and insert, which would lose what is known about the key. */
void ckiti_policy_replace(ckiti_policy *policy, ckiti_policy_node *old_node, ckiti_policy_node *new_node);

/* Chooses the entry to give up, unlinks and remembers it. NULL when there is none. */
ckiti_policy_node *ckiti_policy_evict(ckiti_policy *policy);

/* Bytes of the table of counters, for the owner's books. */
size_t ckiti_policy_memory_bytes(const ckiti_policy *policy);

/* The entry was used. Writes to the node only while its counter is not full, so a hot entry's line stays clean. Lost
 * updates between threads are harmless. */
static inline void ckiti_policy_hit(ckiti_policy_node *node) {
    uint8_t frequency = atomic_load_explicit(&node->frequency, memory_order_relaxed);
    if (frequency < CKITI_POLICY_FREQUENCY_MAX) {
        atomic_store_explicit(&node->frequency, (uint8_t)(frequency + 1), memory_order_relaxed);
    }
}

#endif
