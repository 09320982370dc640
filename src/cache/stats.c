#include "cache/core.h"
#include "cache/store.h"

#include <stdio.h>

void ckit_cache_stats_init(ckit_cache_stats *stats, size_t struct_size) {
    memset(stats, 0, struct_size);
    stats->struct_size = struct_size;
}

static void add_memory(ckit_cache *cache, ckit_cache_stats *all) {
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        ckiti_l1_stats one;
        if (ns->l1 == NULL) {
            continue;
        }
        ckiti_l1_get_stats(ns->l1, &one);
        all->l1_hits += one.hits;
        all->l1_stale_hits += one.stale_hits;
        all->l1_misses += one.misses;
        all->l1_entries += one.entries;
        all->l1_used_bytes += one.used_bytes;
        all->l1_max_bytes += one.max_bytes;
        all->l1_evicted += one.evicted;
        all->l1_expired += one.expired;
        all->l1_rejected += one.rejected;
    }
    if (all->l1_max_bytes > cache->budget.max_bytes) {
        all->l1_max_bytes = cache->budget.max_bytes;
    }
}

static uint64_t failures(const ckiti_sealing *s, int reason, ckiti_tier tier) {
    return atomic_load_explicit(&s->failures[reason][tier], memory_order_relaxed);
}

static void add_sealing(const ckiti_sealing *s, ckit_cache_stats *all) {
    all->auth_failures_l1 = failures(s, CKITI_DECRYPT_AUTH, CKITI_TIER_L1);
    all->auth_failures_l2 = failures(s, CKITI_DECRYPT_AUTH, CKITI_TIER_L2);
    all->suspicious_l1 = failures(s, CKITI_DECRYPT_SUSPICIOUS, CKITI_TIER_L1);
    all->suspicious_l2 = failures(s, CKITI_DECRYPT_SUSPICIOUS, CKITI_TIER_L2);
    all->sealed_corrupt_l1 = failures(s, CKITI_DECRYPT_CORRUPT, CKITI_TIER_L1);
    all->sealed_corrupt_l2 = failures(s, CKITI_DECRYPT_CORRUPT, CKITI_TIER_L2);
    all->encryption_drift = atomic_load_explicit(&s->drift, memory_order_relaxed);
    all->not_sealed = atomic_load_explicit(&s->not_sealed, memory_order_relaxed);
    all->sealed_without_key = atomic_load_explicit(&s->without_key, memory_order_relaxed);
}

void ckit_cache_get_stats(ckit_cache *cache, ckit_cache_stats *out) {
    if (cache == NULL || out == NULL) {
        return;
    }
    const ckiti_counters *c = &cache->counters;
    ckit_cache_stats      all = {.struct_size = out->struct_size,
                                 .l2_hits = ckiti_counted(c, CKITI_L2_HITS),
                                 .l2_misses = ckiti_counted(c, CKITI_L2_MISSES),
                                 .l2_writes = ckiti_counted(c, CKITI_L2_WRITES),
                                 .l2_errors = ckiti_counted(c, CKITI_L2_ERRORS),
                                 .l2_corrupt = ckiti_counted(c, CKITI_L2_CORRUPT),
                                 .computed = ckiti_counted(c, CKITI_COMPUTED),
                                 .function_errors = ckiti_counted(c, CKITI_FUNCTION_ERRORS),
                                 .flight_waits = ckiti_counted(c, CKITI_FLIGHT_WAITS),
                                 .flight_handovers = ckiti_counted(c, CKITI_FLIGHT_HANDOVERS),
                                 .refreshes = ckiti_counted(c, CKITI_REFRESHES),
                                 .too_large = ckiti_counted(c, CKITI_TOO_LARGE),
                                 .uncached = ckiti_counted(c, CKITI_UNCACHED),
                                 .changes_told = ckiti_counted(c, CKITI_CHANGES_TOLD),
                                 .copies_dropped = ckiti_counted(c, CKITI_COPIES_DROPPED),
                                 .watches_lost = ckiti_counted(c, CKITI_WATCHES_LOST),
                                 .changes_published = ckiti_counted(c, CKITI_CHANGES_PUBLISHED),
                                 .changes_unheard = ckiti_counted(c, CKITI_CHANGES_UNHEARD),
                                 .changes_unpublished = ckiti_counted(c, CKITI_CHANGES_UNPUBLISHED),
                                 .messages_malformed = ckiti_counted(c, CKITI_MESSAGES_MALFORMED),
                                 .watching = ckiti_coherence_is_watching(cache),
                                 .replay_pending = atomic_load(&cache->replay.changes.count),
                                 .replayed = atomic_load(&cache->replay.replayed),
                                 .replay_dropped = atomic_load(&cache->replay.dropped),
                                 .leases_lost = ckiti_counted(c, CKITI_LEASES_LOST),
                                 .l2_stale_hits = ckiti_counted(&cache->late_counters, CKITI_L2_STALE_HITS),
                                 .fail_safe_served = ckiti_counted(&cache->late_counters, CKITI_FAIL_SAFE),
                                 .soft_limits = ckiti_counted(&cache->late_counters, CKITI_SOFT_LIMITS),
                                 .hard_limits = ckiti_counted(&cache->late_counters, CKITI_HARD_LIMITS),
                                 .refreshes_found = ckiti_counted(&cache->late_counters, CKITI_REFRESHES_FOUND),
                                 .refreshes_put_off = ckiti_counted(&cache->late_counters, CKITI_REFRESHES_PUT_OFF)};
    add_memory(cache, &all);
    add_sealing(&cache->sealing, &all);
    memcpy(out, &all, out->struct_size < sizeof all ? out->struct_size : sizeof all);
}

bool ckit_cache_get_guard_stats(ckit_cache *cache, ckit_guard_stats *out) {
    return cache != NULL && ckit_backend_guard_stats(cache->backend, out);
}

void ckit_cache_health(ckit_cache *cache, ckit_health *out) {
    if (out == NULL) {
        return;
    }
    if (cache == NULL) {
        *out = (ckit_health){.detail = "there is no cache"};
        return;
    }
    if (cache->ops != NULL) {
        cache->ops->health(cache->store, ckiti_store_deadline(cache, 0), out);
        return;
    }
    ckit_cache_stats stats = {.struct_size = sizeof stats};
    ckit_cache_get_stats(cache, &stats);
    *out = (ckit_health){.healthy = true,
                         .backend_type = "memory",
                         .entries = stats.l1_entries,
                         .bytes = stats.l1_used_bytes,
                         .limit_bytes = stats.l1_max_bytes,
                         .detail = "no store behind memory"};
}
