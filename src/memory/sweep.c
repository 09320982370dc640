#include "memory/tier.h"

#define BUCKETS_A_LOCK 32u

typedef struct sweeping {
    ckiti_l1 *l1;
    uint64_t  now_ms;
    uint64_t  floor;
    size_t    left; /* entries that may still be freed */
    bool (*is_dead)(void *context, ckit_slice key, uint64_t birth);
    void *context;
} sweeping;

static bool must_go(const sweeping *sweep, ckiti_entry *entry, bool *expired) {
    uint64_t birth = ckiti_entry_birth(entry);
    *expired = ckiti_entry_expired(entry, sweep->now_ms);
    return *expired || birth < sweep->floor ||
           (sweep->is_dead != NULL && sweep->is_dead(sweep->context, ckiti_entry_key(entry), birth));
}

static void sweep_bucket(sweeping *sweep, ckiti_shard *shard, ckiti_bucket *bucket) {
    for (unsigned slot = 0; slot < CKITI_BUCKET_SLOTS && sweep->left != 0; slot++) {
        ckiti_place place = {bucket, slot};
        bool        expired;
        if (atomic_load_explicit(&bucket->refs[slot], memory_order_relaxed) == 0) {
            continue;
        }
        ckiti_entry *entry = ckiti_place_entry(place, shard->arena);
        if (must_go(sweep, entry, &expired)) {
            uint64_t hash = ckiti_xxh3(ckiti_entry_key(entry), shard->seed);
            ckiti_policy_remove(&shard->policy, &entry->node);
            ckiti_add(&shard->expired, expired); /* first: who sees that it is gone sees why */
            ckiti_unlink(shard, place, hash, entry, &shard->limbo);
            sweep->left--;
        }
    }
}

/* Some buckets of a shard, from *position on. False at the shard's end. */
static bool sweep_some(sweeping *sweep, ckiti_shard *shard, uint32_t *position) {
    pthread_mutex_lock(&shard->lock);
    ckiti_table *table = shard->table;
    uint32_t     end = *position + BUCKETS_A_LOCK;
    for (; *position < end && *position < table->bucket_count && sweep->left != 0; ++*position) {
        sweep_bucket(sweep, shard, &table->buckets[*position]);
    }
    bool        more = *position < table->bucket_count;
    ckiti_limbo limbo = shard->limbo;
    memset(&shard->limbo, 0, sizeof shard->limbo);
    pthread_mutex_unlock(&shard->lock);
    ckiti_reclaim(sweep->l1, shard, &limbo);
    return more;
}

size_t ckiti_l1_sweep(ckiti_l1 *l1, uint64_t now_ms, size_t max_entries,
                      bool (*is_dead)(void *context, ckit_slice key, uint64_t birth), void *context) {
    sweeping sweep = {l1, now_ms, atomic_load(&l1->floor), max_entries, is_dead, context};
    pthread_mutex_lock(&l1->sweep_lock);
    /* One round: to the end of the last shard, and then to where it began. */
    for (uint32_t shards = 0; shards <= l1->shard_count && sweep.left != 0;) {
        if (!sweep_some(&sweep, &l1->shards[l1->sweep_shard], &l1->sweep_bucket)) {
            l1->sweep_bucket = 0;
            l1->sweep_shard = (l1->sweep_shard + 1) % l1->shard_count;
            shards++;
        }
    }
    pthread_mutex_unlock(&l1->sweep_lock);
    return max_entries - sweep.left;
}
