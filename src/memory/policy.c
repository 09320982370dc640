#include "memory/policy.h"

#include "base/alloc.h"
#include <string.h>

enum { WINDOW = 0, MAIN = 1 };

#define LINE_WORDS 8u          /* words of counters in one cache line */
#define ENTRIES_A_LINE 16u     /* so at most 4 bytes an entry */
#define WINDOW_PERMILLE 20u
#define DUELS 5u               /* main entries a newcomer is compared with before it is given up */
#define FREE_MOVES 8u          /* entries that go from an oversized window to main at one eviction */
#define FADE_ROUND 4u          /* evictions a resident entry in one round of fading */
#define COUNTER_MASK UINT64_C(15)
#define HALF_MASK UINT64_C(0x7777777777777777)

#ifdef POLICY_TUNE
#include <stdlib.h>
static long tune(const char *name, long def) {
    const char *v = getenv(name);
    return v ? atol(v) : def;
}
#else
#define tune(name, def) (def)
#endif

/* ---- nodes and queues ------------------------------------------------------------------------------------ */

static ckiti_policy_node *node_at(const ckiti_policy *policy, uint32_t reference) {
    return reference == 0 ? NULL : (ckiti_policy_node *)(void *)(policy->base + (size_t)reference * 8u);
}

static uint32_t reference_of(const ckiti_policy *policy, const ckiti_policy_node *node) {
    return (uint32_t)((size_t)((const char *)node - policy->base) / 8u);
}

static unsigned queue_of(const ckiti_policy_node *node) { return node->state & 1u; }

static void queue_push(ckiti_policy *policy, unsigned which, ckiti_policy_node *node, uint64_t bytes) {
    ckiti_policy_queue *queue = &policy->queues[which];
    uint32_t            self = reference_of(policy, node);
    ckiti_policy_node  *tail = node_at(policy, queue->tail);
    node->prev = queue->tail;
    node->next = 0;
    if (tail != NULL) {
        tail->next = self;
    } else {
        queue->head = self;
    }
    queue->tail = self;
    queue->bytes += bytes;
    queue->count++;
    node->state = (uint8_t)((node->state & ~1u) | which);
}

static void queue_unlink(ckiti_policy *policy, ckiti_policy_node *node, uint64_t bytes) {
    ckiti_policy_queue *queue = &policy->queues[queue_of(node)];
    ckiti_policy_node  *prev = node_at(policy, node->prev);
    ckiti_policy_node  *next = node_at(policy, node->next);
    if (prev != NULL) {
        prev->next = node->next;
    } else {
        queue->head = node->next;
    }
    if (next != NULL) {
        next->prev = node->prev;
    } else {
        queue->tail = node->prev;
    }
    queue->bytes -= bytes;
    queue->count--;
}

static void queue_move(ckiti_policy *policy, unsigned which, ckiti_policy_node *node) {
    uint64_t bytes = policy->describe(policy, node).bytes;
    queue_unlink(policy, node, bytes);
    queue_push(policy, which, node, bytes);
}

/* ---- what is remembered of evicted keys ------------------------------------------------------------------ */

/* Four counters a key, all in one cache line, each in words of its own. */
typedef struct counter_set {
    uint64_t *word[4];
    unsigned  shift[4];
} counter_set;

static counter_set counters_of(const ckiti_policy *policy, uint64_t hash) {
    uint64_t    mixed = (hash ^ (hash >> 32)) * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t    where = mixed ^ (mixed >> 29);
    size_t      lines = policy->counter_words / LINE_WORDS;
    uint64_t   *line = policy->counters + ((size_t)(where >> 24) & (lines - 1)) * LINE_WORDS;
    counter_set set;
    for (unsigned i = 0; i < 4; i++, where >>= 5) {
        set.word[i] = line + i * 2 + (where & 1u);
        set.shift[i] = (unsigned)(where >> 1 & 15u) * 4u;
    }
    return set;
}

static unsigned history_read(const ckiti_policy *policy, uint64_t hash) {
    counter_set set = counters_of(policy, hash);
    unsigned    least = CKITI_POLICY_FREQUENCY_MAX;
    for (unsigned i = 0; i < 4; i++) {
        unsigned count = (unsigned)(*set.word[i] >> set.shift[i] & COUNTER_MASK);
        least = count < least ? count : least;
    }
    return least;
}

/* Raises the key's counters to `frequency`; a collision can only make them too high. */
static void history_write(ckiti_policy *policy, uint64_t hash, unsigned frequency) {
    counter_set set = counters_of(policy, hash);
    for (unsigned i = 0; i < 4; i++) {
        if ((*set.word[i] >> set.shift[i] & COUNTER_MASK) < frequency) {
            *set.word[i] = (*set.word[i] & ~(COUNTER_MASK << set.shift[i])) | (uint64_t)frequency << set.shift[i];
        }
    }
}

/* Called once an eviction: halves the counters word by word, one round in FADE_ROUND * residents evictions. */
static void history_fade(ckiti_policy *policy) {
    uint64_t residents = policy->queues[WINDOW].count + policy->queues[MAIN].count + 1;
    uint64_t round = residents * (uint64_t)tune("FADE", FADE_ROUND);
    policy->fade_credit += policy->counter_words;
    while (policy->fade_credit >= round) {
        policy->fade_credit -= round;
        policy->counters[policy->fade_at] = policy->counters[policy->fade_at] >> 1 & HALF_MASK;
        if (++policy->fade_at == policy->counter_words) {
            policy->fade_at = 0;
            policy->epoch++;
        }
    }
}

/* ---- the frequency of a resident fades with the rounds too ----------------------------------------------- */

static void stamp(const ckiti_policy *policy, ckiti_policy_node *node) {
    node->state = (uint8_t)((node->state & 1u) | (policy->epoch & 127u) << 1);
}

static unsigned faded_frequency(const ckiti_policy *policy, ckiti_policy_node *node) {
    unsigned frequency = atomic_load_explicit(&node->frequency, memory_order_relaxed);
    unsigned rounds = (policy->epoch - (node->state >> 1)) & 127u;
    if (rounds != 0) {
        frequency = rounds > 4 ? 0 : frequency >> rounds;
        atomic_store_explicit(&node->frequency, (uint8_t)frequency, memory_order_relaxed);
        stamp(policy, node);
    }
    return frequency;
}

/* ---- the interface --------------------------------------------------------------------------------------- */

ckit_status ckiti_policy_init(ckiti_policy *policy, void *base, ckiti_policy_describe describe,
                              size_t expected_entries, const ckit_alloc *alloc, ckit_error *err) {
    size_t words = LINE_WORDS;
    while (words < SIZE_MAX / 64u && words / LINE_WORDS * ENTRIES_A_LINE < expected_entries) {
        words *= 2;
    }
    memset(policy, 0, sizeof *policy);
    policy->base = base;
    policy->describe = describe;
    policy->alloc = alloc;
    policy->counters = ckiti_alloc_zeroed(alloc, words, sizeof *policy->counters);
    if (policy->counters == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "memory", "no memory for %zu bytes of usage counters", words * 8u);
    }
    policy->counter_words = words;
    policy->window_permille = (uint32_t)tune("WIN", WINDOW_PERMILLE);
    return CKIT_OK;
}

void ckiti_policy_fini(ckiti_policy *policy) {
    if (policy->counters != NULL) {
        ckiti_free(policy->alloc, policy->counters, policy->counter_words * sizeof *policy->counters);
    }
    memset(policy, 0, sizeof *policy);
}

void ckiti_policy_insert(ckiti_policy *policy, ckiti_policy_node *node) {
    ckiti_policy_facts facts = policy->describe(policy, node);
    unsigned           seen = history_read(policy, facts.hash);
    unsigned           frequency = seen < CKITI_POLICY_FREQUENCY_MAX ? seen + 1 : seen;
    atomic_store_explicit(&node->frequency, (uint8_t)frequency, memory_order_relaxed);
    stamp(policy, node);
    queue_push(policy, WINDOW, node, facts.bytes);
}

void ckiti_policy_remove(ckiti_policy *policy, ckiti_policy_node *node) {
    queue_unlink(policy, node, policy->describe(policy, node).bytes);
}

void ckiti_policy_replace(ckiti_policy *policy, ckiti_policy_node *old_node, ckiti_policy_node *new_node) {
    ckiti_policy_hit(old_node);
    atomic_store_explicit(&new_node->frequency, atomic_load_explicit(&old_node->frequency, memory_order_relaxed),
                          memory_order_relaxed);
    new_node->state = old_node->state;
    unsigned which = queue_of(old_node);
    queue_unlink(policy, old_node, policy->describe(policy, old_node).bytes);
    queue_push(policy, which, new_node, policy->describe(policy, new_node).bytes);
}

static ckiti_policy_node *give_up(ckiti_policy *policy, ckiti_policy_node *node) {
    ckiti_policy_facts facts = policy->describe(policy, node);
    queue_unlink(policy, node, facts.bytes);
    history_write(policy, facts.hash, faded_frequency(policy, node));
    history_fade(policy);
    return node;
}

/* The newcomer at the window's head against entries of main: who was asked for less often goes. A draw is the
 * resident's, which is what makes a loop longer than the cache hit at all. */
static ckiti_policy_node *duel(ckiti_policy *policy, ckiti_policy_node *newcomer) {
    unsigned frequency = faded_frequency(policy, newcomer);
    for (long i = 0; i < tune("DUELS", DUELS); i++) {
        ckiti_policy_node *resident = node_at(policy, policy->queues[MAIN].head);
        if (faded_frequency(policy, resident) < frequency) {
            queue_move(policy, MAIN, newcomer);
            return resident;
        }
        queue_move(policy, MAIN, resident);
    }
    return newcomer;
}

ckiti_policy_node *ckiti_policy_evict(ckiti_policy *policy) {
    ckiti_policy_queue *window = &policy->queues[WINDOW];
    ckiti_policy_queue *main = &policy->queues[MAIN];
    uint64_t            target = (window->bytes + main->bytes) / 1000u * policy->window_permille;
    for (unsigned i = 0; i < FREE_MOVES && window->count > 1 && window->bytes > target + target / 4; i++) {
        queue_move(policy, MAIN, node_at(policy, window->head));
    }
    if (window->count == 0 && main->count == 0) {
        return NULL;
    }
    if (main->count == 0) {
        return give_up(policy, node_at(policy, window->head));
    }
    if (window->count == 0 || window->bytes < target) {
        ckiti_policy_node *resident = node_at(policy, main->head);
        return give_up(policy, resident);
    }
    return give_up(policy, duel(policy, node_at(policy, window->head)));
}

size_t ckiti_policy_memory_bytes(const ckiti_policy *policy) {
    return policy->counter_words * sizeof *policy->counters;
}
