#include "memory/policy.h"

#include "support/failing_alloc.h"
#include "support/test.h"
#include <stdlib.h>

enum { ENTRIES = 4096, UNIT = 100 };

/* The shard of these tests: entry i has reference 2 i + 2 and key i. */
typedef struct entry {
    ckiti_policy_node node;
    uint32_t          key;
    uint32_t          bytes;
    bool              resident;
} entry;

_Static_assert(sizeof(entry) % 8 == 0, "entries lie at multiples of 8 bytes");

typedef struct shard {
    ckiti_policy policy; /* first: describe() finds the shard by it */
    entry        entries[ENTRIES + 1];
    size_t       count;
    uint64_t     bytes;
} shard;

static ckiti_policy_facts describe(const ckiti_policy *policy, const ckiti_policy_node *node) {
    (void)policy;
    const entry *e = (const entry *)(const void *)node;
    return (ckiti_policy_facts){.hash = (e->key + 1) * UINT64_C(0x9E3779B97F4A7C15), .bytes = e->bytes};
}

static shard *shard_new(size_t expected, const ckit_alloc *alloc) {
    shard *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    CHECK_OK(ckiti_policy_init(&s->policy, s->entries, describe, expected, alloc, NULL));
    return s;
}

static void shard_free(shard *s) {
    ckiti_policy_fini(&s->policy);
    free(s);
}

static entry *entry_of(shard *s, uint32_t key) { return &s->entries[key + 1]; }

static void put(shard *s, uint32_t key, uint32_t bytes) {
    entry *e = entry_of(s, key);
    CHECK(!e->resident);
    e->key = key;
    e->bytes = bytes;
    e->resident = true;
    s->count++;
    s->bytes += bytes;
    ckiti_policy_insert(&s->policy, &e->node);
}

static void gone(shard *s, entry *e) {
    CHECK(e->resident);
    e->resident = false;
    s->count--;
    s->bytes -= e->bytes;
}

/* The key of the victim. */
static uint32_t evict(shard *s) {
    entry *e = (entry *)(void *)ckiti_policy_evict(&s->policy);
    CHECK(e != NULL);
    gone(s, e);
    return e->key;
}

static void take_out(shard *s, uint32_t key) {
    ckiti_policy_remove(&s->policy, &entry_of(s, key)->node);
    gone(s, entry_of(s, key));
}

/* What a tier does for one access in a cache of `capacity` entries: true for a hit. */
static bool use(shard *s, uint32_t key, size_t capacity) {
    if (entry_of(s, key)->resident) {
        ckiti_policy_hit(&entry_of(s, key)->node);
        return true;
    }
    while (s->count >= capacity) {
        evict(s);
    }
    put(s, key, UNIT);
    return false;
}

CKIT_TEST(policy, an_empty_policy_has_no_victim) {
    shard *s = shard_new(16, NULL);
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    put(s, 1, UNIT);
    CHECK_EQ_U(1, evict(s));
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    shard_free(s);
}

CKIT_TEST(policy, gives_up_every_entry_once) {
    shard *s = shard_new(16, NULL);
    for (uint32_t key = 0; key < 1000; key++) {
        put(s, key, UNIT);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        evict(s);
    }
    CHECK_EQ_U(0, s->count);
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    shard_free(s);
}

CKIT_TEST(policy, a_removed_entry_is_never_the_victim) {
    shard *s = shard_new(16, NULL);
    for (uint32_t key = 0; key < 100; key++) {
        put(s, key, UNIT);
    }
    for (uint32_t key = 0; key < 100; key += 2) {
        take_out(s, key);
    }
    for (uint32_t i = 0; i < 50; i++) {
        CHECK_EQ_U(1, evict(s) % 2);
    }
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    shard_free(s);
}

CKIT_TEST(policy, a_hit_counts_up_to_the_limit) {
    ckiti_policy_node node = {.frequency = 0};
    for (unsigned i = 1; i < 100; i++) {
        ckiti_policy_hit(&node);
        CHECK_EQ_U(i < CKITI_POLICY_FREQUENCY_MAX ? i : CKITI_POLICY_FREQUENCY_MAX, atomic_load(&node.frequency));
    }
}

CKIT_TEST(policy, a_replacement_inherits_the_counter_and_leaves_the_old_node_alone) {
    shard *s = shard_new(16, NULL);
    for (uint32_t key = 0; key < 10; key++) {
        put(s, key, UNIT);
    }
    ckiti_policy_hit(&entry_of(s, 4)->node);
    entry *moved = entry_of(s, 50);
    moved->key = 50;
    moved->bytes = 3 * UNIT;
    moved->resident = true;
    ckiti_policy_replace(&s->policy, &entry_of(s, 4)->node, &moved->node);
    CHECK_EQ_U(atomic_load(&entry_of(s, 4)->node.frequency), atomic_load(&moved->node.frequency));
    entry_of(s, 4)->resident = false;
    for (uint32_t i = 0; i < 10; i++) {
        evict(s); /* fails on an entry that is not resident */
    }
    CHECK(!moved->resident);
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    shard_free(s);
}

CKIT_TEST(policy, a_single_entry_can_be_replaced) {
    shard *s = shard_new(16, NULL);
    put(s, 1, UNIT);
    entry *moved = entry_of(s, 2);
    moved->key = 2;
    moved->bytes = UNIT;
    moved->resident = true;
    ckiti_policy_replace(&s->policy, &entry_of(s, 1)->node, &moved->node);
    CHECK_EQ_U(2, evict(s));
    CHECK(ckiti_policy_evict(&s->policy) == NULL);
    shard_free(s);
}

CKIT_TEST(policy, entries_in_use_outlive_a_scan) {
    shard *s = shard_new(256, NULL);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t key = 0; key < 200; key++) {
            use(s, key, 256);
        }
    }
    size_t hits = 0;
    for (uint32_t key = 1000; key < 3000; key++) {
        CHECK(!use(s, key, 256));
        hits += use(s, key % 200, 256);
    }
    CHECK_BETWEEN_U(1900, 2000, hits);
    shard_free(s);
}

CKIT_TEST(policy, a_loop_longer_than_the_cache_still_hits) {
    shard *s = shard_new(1000, NULL);
    size_t hits = 0;
    for (uint32_t i = 0; i < 15000; i++) {
        hits += use(s, i % 1500, 1000);
    }
    CHECK_BETWEEN_U(15000 * 55 / 100, 15000 * 60 / 100, hits); /* nine rounds of two thirds: 60 % */
    shard_free(s);
}

CKIT_TEST(policy, new_favourites_displace_old_ones_however_hot_these_were) {
    shard *s = shard_new(500, NULL);
    for (uint32_t i = 0; i < 50000; i++) {
        use(s, i % 500, 500);
    }
    size_t hits = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        use(s, 1000 + i % 250, 500); /* each once in 250 accesses */
    }
    for (uint32_t key = 1000; key < 1250; key++) {
        hits += entry_of(s, key)->resident;
    }
    CHECK_BETWEEN_U(225, 250, hits);
    shard_free(s);
}

CKIT_TEST(policy, a_large_newcomer_joins_only_after_it_displaced_its_own_size) {
    shard *s = shard_new(500, NULL);
    for (uint32_t key = 0; key < 500; key++) {
        put(s, key, UNIT);
    }
    evict(s);
    put(s, 600, 20 * UNIT);
    ckiti_policy_hit(&entry_of(s, 600)->node);
    put(s, 601, UNIT);
    while (s->policy.rings[0].head != 0 && s->policy.rings[0].count > 2) {
        evict(s);
    }
    uint64_t before = s->bytes - s->policy.rings[0].bytes;
    while (s->policy.rings[0].count == 2) {
        evict(s);
    }
    CHECK(entry_of(s, 600)->resident);
    CHECK_EQ_U(before, s->policy.rings[1].bytes);
    shard_free(s);
}

CKIT_TEST(policy, the_books_of_bytes_and_entries_are_right_after_anything) {
    shard   *s = shard_new(16, NULL);
    uint64_t random = 7;
    for (unsigned i = 0; i < 100000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t key = (uint32_t)(random >> 33) % ENTRIES;
        unsigned what = (unsigned)(random >> 20) % 8;
        if (!entry_of(s, key)->resident) {
            put(s, key, 1 + (uint32_t)(random >> 40) % 5000);
        } else if (what == 0) {
            take_out(s, key);
        } else if (what < 5) {
            ckiti_policy_hit(&entry_of(s, key)->node);
        }
        if (s->bytes > 1000000) {
            evict(s);
        }
        CHECK_EQ_U(s->count, s->policy.rings[0].count + s->policy.rings[1].count);
        CHECK_EQ_U(s->bytes, s->policy.rings[0].bytes + s->policy.rings[1].bytes);
    }
    shard_free(s);
}

CKIT_TEST(policy, the_counters_grow_with_the_entries) {
    shard *s = shard_new(0, NULL);
    CHECK_EQ_U(64, ckiti_policy_memory_bytes(&s->policy));
    for (uint32_t key = 0; key < 4000; key++) {
        put(s, key, UNIT);
        CHECK_BETWEEN_U(0, 64 + 8 * s->count, ckiti_policy_memory_bytes(&s->policy));
    }
    CHECK_EQ_U(16384, ckiti_policy_memory_bytes(&s->policy));
    shard_free(s);
}

CKIT_TEST(policy, a_key_is_remembered_when_the_counters_grow) {
    shard *s = shard_new(0, NULL);
    put(s, 7, UNIT);
    ckiti_policy_hit(&entry_of(s, 7)->node);
    CHECK_EQ_U(7, evict(s));
    for (uint32_t key = 100; key < 200; key++) {
        put(s, key, UNIT);
    }
    put(s, 7, UNIT);
    CHECK_BETWEEN_U(2, 3, atomic_load(&entry_of(s, 7)->node.frequency));
    shard_free(s);
}

CKIT_TEST(policy, no_memory_for_the_counters_is_reported) {
    failing_alloc fa;
    ckiti_policy  policy;
    ckit_error    err = CKIT_ERROR_INIT;
    failing_alloc_init(&fa, 0);
    CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, ckiti_policy_init(&policy, NULL, describe, 1000, &fa.alloc, &err), &err);
    ckiti_policy_fini(&policy);
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(policy, works_on_with_small_counters_when_they_cannot_grow) {
    failing_alloc fa;
    failing_alloc_init(&fa, 1);
    atomic_store(&fa.fail_on, true);
    shard *s = shard_new(0, &fa.alloc);
    for (uint32_t i = 0; i < 20000; i++) {
        use(s, i % 3000, 2000);
    }
    CHECK(failing_alloc_has_failed(&fa));
    CHECK_BETWEEN_U(1, 200, atomic_load(&fa.failed)); /* it does not ask at every insert */
    CHECK_EQ_U(64, ckiti_policy_memory_bytes(&s->policy));
    shard_free(s);
    failing_alloc_check_empty(&fa);
}
