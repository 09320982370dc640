#include "model.h"

#include "memory/policy.h"
#include <stdio.h>
#include <stdlib.h>

/* The policy of the memory tier, driven as a shard drives it: entries of one size, a budget in bytes. */
enum { ENTRY_BYTES = 128 };

typedef struct entry {
    ckiti_policy_node node;
    uint32_t          key;
} entry;

typedef struct ckit {
    ckiti_policy policy;
    entry       *entries; /* of key k: entries[k + 1], since reference 0 means none */
    bool        *resident;
    size_t       used_bytes, max_bytes;
} ckit;

_Static_assert(sizeof(entry) == 16, "entries lie at multiples of 8 bytes");

/* splitmix64, in the place of the tier's seeded XXH3. */
static uint64_t hash_of(uint32_t key) {
    uint64_t x = ((uint64_t)key + 1) * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static ckiti_policy_facts describe(const ckiti_policy *policy, const ckiti_policy_node *node) {
    (void)policy;
    return (ckiti_policy_facts){.hash = hash_of(((const entry *)node)->key), .bytes = ENTRY_BYTES};
}

static void *ckit_open(const hitratio_trace *trace, size_t capacity) {
    ckit *self = model_alloc(1, sizeof *self);
    self->entries = model_alloc((size_t)trace->universe + 1, sizeof *self->entries);
    self->resident = model_alloc(trace->universe, sizeof *self->resident);
    self->max_bytes = capacity * ENTRY_BYTES;
    if (ckiti_policy_init(&self->policy, self->entries, describe, capacity, NULL, NULL) != CKIT_OK) {
        fprintf(stderr, "hitratio: no memory\n");
        exit(1);
    }
    return self;
}

static bool ckit_access(void *opaque, uint32_t key) {
    ckit  *self = opaque;
    entry *mine = &self->entries[(size_t)key + 1];
    if (self->resident[key]) {
        ckiti_policy_hit(&mine->node);
        return true;
    }
    mine->key = key;
    while (self->used_bytes + ENTRY_BYTES > self->max_bytes) {
        const entry *victim = (const entry *)ckiti_policy_evict(&self->policy);
        self->resident[victim->key] = false;
        self->used_bytes -= ENTRY_BYTES;
    }
    ckiti_policy_insert(&self->policy, &mine->node);
    self->resident[key] = true;
    self->used_bytes += ENTRY_BYTES;
    return false;
}

static void ckit_close(void *opaque) {
    ckit *self = opaque;
    ckiti_policy_fini(&self->policy);
    free(self->entries);
    free(self->resident);
    free(self);
}

const hitratio_model hitratio_ckit = {"CacheKit", ckit_open, ckit_access, ckit_close};
