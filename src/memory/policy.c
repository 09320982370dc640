#include "memory/policy.h"

#include "base/alloc.h"
#include <string.h>

/* Chosen by simulation (bench/hitratio): the simplest rules that stay within five points of the best known policy on
 * every trace there. What each number does is said where it is used. */
#define DUELS 5u
#define FREE_MOVES 8u
#define HALF_ROUNDS 5u /* a round of fading is 5 / 2 evictions an entry */
#define OFTEN 4u
#define WINDOW_HIT_BONUS 6u

#define SHARE_ONE (UINT64_C(1) << 32)
#define SHARE_START (SHARE_ONE / 100) /* 1 % */
#define SHARE_LEAST (SHARE_ONE / 200) /* 0.5 % */
#define SHARE_MOST (SHARE_ONE / 5)    /* 20 % */
#define SHARE_STEP (SHARE_ONE / 10)   /* a cache full of newcomers moves the share by 10 % at most */
#define SHARE_HIT_PERCENT UINT64_C(6) /* the part of newcomers hit in the window that keeps its share as it is */

#define LINE_WORDS 8u    /* words of counters in one cache line */
#define LINE_ENTRIES 16u /* entries it serves: 4 bytes each */
#define COUNTER_MAX 3u
#define COUNTER_MASK UINT64_C(3)
#define HALVED_MASK UINT64_C(0x5555555555555555)

enum { WINDOW = 0, MAIN = 1 };

/* ---- nodes ----------------------------------------------------------------------------------------------- */

/* state: bit 0 the ring, bits 1-3 the round and bits 4-7 the frequency when the node was last looked at. */

static ckiti_policy_node *node_at(const ckiti_policy *policy, uint32_t reference) {
    return (ckiti_policy_node *)(void *)(policy->base + (size_t)reference * 8u);
}

static uint32_t reference_of(const ckiti_policy *policy, const ckiti_policy_node *node) {
    return (uint32_t)((size_t)((const char *)node - policy->base) / 8u);
}

static unsigned ring_of(const ckiti_policy_node *node) { return node->state & 1u; }
static unsigned round_of(const ckiti_policy_node *node) { return node->state >> 1 & 7u; }

static unsigned frequency_of(const ckiti_policy_node *node) {
    return atomic_load_explicit(&node->frequency, memory_order_relaxed);
}

static unsigned hits_since_look(const ckiti_policy_node *node) {
    unsigned before = node->state >> 4, now = frequency_of(node);
    return now > before ? now - before : 0;
}

/* One below the limit at most, so that the next hit shows. */
static void look(const ckiti_policy *policy, ckiti_policy_node *node, unsigned frequency) {
    unsigned kept = frequency < CKITI_POLICY_FREQUENCY_MAX ? frequency : CKITI_POLICY_FREQUENCY_MAX - 1;
    atomic_store_explicit(&node->frequency, (uint8_t)kept, memory_order_relaxed);
    node->state = (uint8_t)(ring_of(node) | (policy->round & 7u) << 1 | kept << 4);
}

/* Once a round: who was hit since the last look keeps his frequency, who was not falls to 1, by way of 2 if he was in
 * use a lot. Not to 0, so that a newcomer nobody remembers does not beat him: that is what keeps part of a long loop,
 * and what scans run into. */
static unsigned faded_frequency(const ckiti_policy *policy, ckiti_policy_node *node) {
    unsigned frequency = frequency_of(node);
    if (round_of(node) != (policy->round & 7u)) {
        look(policy, node, hits_since_look(node) > 0 ? frequency : frequency > OFTEN ? 2 : 1);
        frequency = frequency_of(node);
    }
    return frequency;
}

/* ---- rings ----------------------------------------------------------------------------------------------- */

static void ring_join(ckiti_policy *policy, unsigned which, ckiti_policy_node *node, uint64_t bytes) {
    ckiti_policy_ring *ring = &policy->rings[which];
    uint32_t           self = reference_of(policy, node);
    if (ring->head == 0) {
        ring->head = node->prev = node->next = self;
    } else {
        ckiti_policy_node *head = node_at(policy, ring->head);
        node->prev = head->prev;
        node->next = ring->head;
        node_at(policy, head->prev)->next = self;
        head->prev = self;
    }
    ring->bytes += bytes;
    ring->count++;
    node->state = (uint8_t)((node->state & ~1u) | which);
}

static void ring_leave(ckiti_policy *policy, ckiti_policy_node *node, uint64_t bytes) {
    ckiti_policy_ring *ring = &policy->rings[ring_of(node)];
    uint32_t           self = reference_of(policy, node);
    if (ring_of(node) == WINDOW && ring->head == self) {
        policy->displaced = 0;
    }
    if (node->next == self) {
        ring->head = 0;
    } else {
        node_at(policy, node->prev)->next = node->next;
        node_at(policy, node->next)->prev = node->prev;
        ring->head = ring->head == self ? node->next : ring->head;
    }
    ring->bytes -= bytes;
    ring->count--;
}

static void window_to_main(ckiti_policy *policy, ckiti_policy_node *node) {
    uint64_t bytes = policy->describe(policy, node).bytes;
    ring_leave(policy, node, bytes);
    ring_join(policy, MAIN, node, bytes);
}

/* ---- what is remembered of evicted keys ------------------------------------------------------------------ */

/* A count-min sketch. Four counters a key, all in one cache line, each in a pair of words of its own. Counters of two
 * bits do better than half as many of four: a round is so short that few keys get further, and collisions are what
 * hurts. */
typedef struct counter_set {
    uint64_t *word[4];
    unsigned  shift[4];
} counter_set;

static counter_set counters_of(const ckiti_policy *policy, uint64_t hash) {
    uint64_t    mixed = (hash ^ (hash >> 32)) * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t    where = mixed ^ (mixed >> 29);
    size_t      lines = policy->counter_words / LINE_WORDS;
    uint64_t   *line = policy->counters + ((size_t)(where >> 26) & (lines - 1)) * LINE_WORDS;
    counter_set set;
    for (size_t i = 0; i < 4; i++, where >>= 6) {
        set.word[i] = line + i * 2 + (where & 1u);
        set.shift[i] = (unsigned)(where >> 1 & 31u) * 2u;
    }
    return set;
}

static unsigned history_read(const ckiti_policy *policy, uint64_t hash) {
    counter_set set = counters_of(policy, hash);
    unsigned    least = COUNTER_MAX;
    for (unsigned i = 0; i < 4; i++) {
        unsigned count = (unsigned)(*set.word[i] >> set.shift[i] & COUNTER_MASK);
        least = count < least ? count : least;
    }
    return least;
}

/* Raises the key's counters to `frequency`. Keys that share counters can only make them too high. */
static void history_write(ckiti_policy *policy, uint64_t hash, unsigned frequency) {
    counter_set set = counters_of(policy, hash);
    frequency = frequency < COUNTER_MAX ? frequency : COUNTER_MAX;
    for (unsigned i = 0; i < 4; i++) {
        if ((*set.word[i] >> set.shift[i] & COUNTER_MASK) < frequency) {
            *set.word[i] = (*set.word[i] & ~(COUNTER_MASK << set.shift[i])) | (uint64_t)frequency << set.shift[i];
        }
    }
}

/* Called once an eviction: halves the counters word by word, all of them once a round. Misses are the clock because
 * hits are not seen here. */
static void history_fade(ckiti_policy *policy) {
    uint64_t round = (uint64_t)(policy->rings[WINDOW].count + policy->rings[MAIN].count + 1) * HALF_ROUNDS / 2u;
    policy->fade_credit += policy->counter_words;
    while (policy->fade_credit >= round) {
        policy->fade_credit -= round;
        policy->counters[policy->fade_at] = policy->counters[policy->fade_at] >> 1 & HALVED_MASK;
        if (++policy->fade_at >= policy->counter_words) {
            policy->fade_at = 0;
            policy->round++;
        }
    }
}

/* A key's line in the doubled table is its old one, or the one half a table further: both start as copies. */
static void history_grow(ckiti_policy *policy) {
    size_t    words = policy->counter_words, size = words * sizeof *policy->counters;
    uint64_t *counters = words <= SIZE_MAX / 2u / sizeof *counters ? ckiti_alloc(policy->alloc, 2u * size) : NULL;
    if (counters == NULL) {
        policy->grow_above += policy->grow_above / 8u; /* the counters only become less exact; ask again later */
        return;
    }
    memcpy(counters, policy->counters, size);
    memcpy(counters + words, policy->counters, size);
    ckiti_free(policy->alloc, policy->counters, size);
    policy->counters = counters;
    policy->counter_words = 2u * words;
    policy->grow_above = policy->counter_words / LINE_WORDS * LINE_ENTRIES;
}

/* ---- the window's share ---------------------------------------------------------------------------------- */

/* Newcomers that are hit while they wait say that recent use counts: then the window grows, up to where it is much like
 * S3-FIFO's. In a loop nobody is hit there, and every entry of the window is one less in main. */
static void adapt_window(ckiti_policy *policy, bool was_hit) {
    uint64_t step = SHARE_STEP / 100u / (policy->rings[WINDOW].count + policy->rings[MAIN].count);
    uint64_t share = policy->window_share;
    if (was_hit) {
        share += step * (100u - SHARE_HIT_PERCENT);
        policy->window_share = share < SHARE_MOST ? share : SHARE_MOST;
    } else {
        uint64_t down = step * SHARE_HIT_PERCENT;
        policy->window_share = share > SHARE_LEAST + down ? share - down : SHARE_LEAST;
    }
}

static uint64_t window_target(const ckiti_policy *policy) {
    uint64_t bytes = policy->rings[WINDOW].bytes + policy->rings[MAIN].bytes;
    return (bytes >> 10) * (policy->window_share >> 8) >> 14; /* without overflow up to 2^50 bytes */
}

/* ---- the interface --------------------------------------------------------------------------------------- */

ckit_status ckiti_policy_init(ckiti_policy *policy, void *base, ckiti_policy_describe describe, size_t expected_entries,
                              const ckit_alloc *alloc, ckit_error *err) {
    size_t words = LINE_WORDS;
    while (words < SIZE_MAX / 64u && words / LINE_WORDS * LINE_ENTRIES < expected_entries) {
        words *= 2;
    }
    memset(policy, 0, sizeof *policy);
    policy->base = base;
    policy->describe = describe;
    policy->alloc = alloc;
    policy->window_share = SHARE_START;
    policy->counters = ckiti_alloc_zeroed(alloc, words, sizeof *policy->counters);
    if (policy->counters == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for %zu bytes of usage counters",
                         words * sizeof *policy->counters);
    }
    policy->counter_words = words;
    policy->grow_above = words / LINE_WORDS * LINE_ENTRIES;
    return CKIT_OK;
}

void ckiti_policy_fini(ckiti_policy *policy) {
    if (policy->counters != NULL) {
        ckiti_free(policy->alloc, policy->counters, policy->counter_words * sizeof *policy->counters);
    }
    memset(policy, 0, sizeof *policy);
}

/* While the cache fills nobody has to leave, so what leaves the window goes to main without a duel. */
static void settle(ckiti_policy *policy) {
    ckiti_policy_ring *window = &policy->rings[WINDOW];
    uint64_t           bytes = window->bytes + policy->rings[MAIN].bytes;
    if (bytes <= policy->most_bytes) {
        return;
    }
    policy->most_bytes = bytes;
    for (uint64_t target = window_target(policy); window->count > 1 && window->bytes > target;) {
        window_to_main(policy, node_at(policy, window->head));
    }
}

void ckiti_policy_insert(ckiti_policy *policy, ckiti_policy_node *node) {
    ckiti_policy_facts facts = policy->describe(policy, node);
    node->state = WINDOW;
    look(policy, node, history_read(policy, facts.hash) + 1);
    ring_join(policy, WINDOW, node, facts.bytes);
    settle(policy);
    if (policy->rings[WINDOW].count + policy->rings[MAIN].count > policy->grow_above) {
        history_grow(policy);
    }
}

void ckiti_policy_remove(ckiti_policy *policy, ckiti_policy_node *node) {
    ring_leave(policy, node, policy->describe(policy, node).bytes);
}

void ckiti_policy_replace(ckiti_policy *policy, ckiti_policy_node *old_node, ckiti_policy_node *new_node) {
    ckiti_policy_ring *ring = &policy->rings[ring_of(old_node)];
    uint32_t           old_self = reference_of(policy, old_node), new_self = reference_of(policy, new_node);
    ring->bytes += policy->describe(policy, new_node).bytes - policy->describe(policy, old_node).bytes;
    atomic_store_explicit(&new_node->frequency, (uint8_t)frequency_of(old_node), memory_order_relaxed);
    new_node->state = old_node->state;
    if (old_node->next == old_self) {
        new_node->prev = new_node->next = new_self;
    } else {
        new_node->prev = old_node->prev;
        new_node->next = old_node->next;
        node_at(policy, new_node->prev)->next = new_self;
        node_at(policy, new_node->next)->prev = new_self;
    }
    ring->head = ring->head == old_self ? new_self : ring->head;
}

static ckiti_policy_node *give_up(ckiti_policy *policy, ckiti_policy_node *node) {
    ckiti_policy_facts facts = policy->describe(policy, node);
    ring_leave(policy, node, facts.bytes);
    history_write(policy, facts.hash, faded_frequency(policy, node));
    history_fade(policy);
    return node;
}

/* The first of up to DUELS entries of main that `frequency` beats; the ring turns past the others. NULL: none. For a
 * newcomer nobody has asked for again the ring still turns by one: residents that are seldom looked at would look as if
 * they were always in use. */
static ckiti_policy_node *beaten_by(ckiti_policy *policy, unsigned frequency) {
    ckiti_policy_ring *ring = &policy->rings[MAIN];
    for (unsigned i = 0; i < (frequency > 1 ? DUELS : 1u); i++) {
        ckiti_policy_node *resident = node_at(policy, ring->head);
        if (faded_frequency(policy, resident) < frequency) {
            return resident;
        }
        ring->head = resident->next;
    }
    return NULL;
}

/* The least used of DUELS entries of main. */
static ckiti_policy_node *weakest(ckiti_policy *policy) {
    ckiti_policy_ring *ring = &policy->rings[MAIN];
    ckiti_policy_node *weakest = node_at(policy, ring->head);
    for (unsigned i = 0; i < DUELS && faded_frequency(policy, weakest) > 1; i++) {
        ring->head = node_at(policy, ring->head)->next;
        ckiti_policy_node *resident = node_at(policy, ring->head);
        weakest = faded_frequency(policy, resident) < faded_frequency(policy, weakest) ? resident : weakest;
    }
    return weakest;
}

/* The window is over its share: its oldest entry goes, or drives out entries of main, at least its own size of them
 * before it is one of them. */
static ckiti_policy_node *duel(ckiti_policy *policy) {
    ckiti_policy_node *newcomer = node_at(policy, policy->rings[WINDOW].head);
    bool               was_hit = hits_since_look(newcomer) > 0;
    unsigned           frequency = faded_frequency(policy, newcomer) + (was_hit ? WINDOW_HIT_BONUS : 0);
    ckiti_policy_node *resident = beaten_by(policy, frequency);
    if (resident == NULL) {
        adapt_window(policy, was_hit);
        return newcomer;
    }
    policy->displaced += policy->describe(policy, resident).bytes;
    if (policy->displaced >= policy->describe(policy, newcomer).bytes) {
        adapt_window(policy, was_hit);
        window_to_main(policy, newcomer);
    }
    return resident;
}

ckiti_policy_node *ckiti_policy_evict(ckiti_policy *policy) {
    ckiti_policy_ring *window = &policy->rings[WINDOW], *main_ring = &policy->rings[MAIN];
    if (window->count == 0 && main_ring->count == 0) {
        return NULL;
    }
    /* Much over its share after it narrowed: what was asked for twice goes to main without a duel, a few entries at a
     * time, so that no call takes long. */
    uint64_t target = window_target(policy);
    for (unsigned i = 0; i < FREE_MOVES && window->count > 1 && window->bytes > target + target / 4u; i++) {
        ckiti_policy_node *oldest = node_at(policy, window->head);
        if (frequency_of(oldest) <= 1) {
            break;
        }
        window_to_main(policy, oldest);
    }
    if (main_ring->count == 0) {
        return give_up(policy, node_at(policy, window->head));
    }
    if (window->count == 0 || window->bytes < target) {
        return give_up(policy, weakest(policy));
    }
    return give_up(policy, duel(policy));
}

size_t ckiti_policy_memory_bytes(const ckiti_policy *policy) {
    return policy->counter_words * sizeof *policy->counters;
}
