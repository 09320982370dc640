/* What the operations of a cache tell and ask about changes that its store did not take; beginning and ending. */
#include "cache/replay.h"

#include "cache/core.h"

static const char where[] = "cache";

/* ---- too many ---------------------------------------------------------------------------------------------------- */

/* All are replaced by one. `why` is for the log; NULL: it was asked for. */
static void distrust_everything(ckiti_replay *replay, const char *why) {
    size_t dropped = ckiti_changes_merge(&replay->changes);
    atomic_fetch_add(&replay->dropped, why != NULL ? dropped : 0);
    replay->unsaid = why;
}

/* Without the lock: what there is to say. */
static void say(ckit_cache *cache, const char *unsaid) {
    if (unsaid != NULL) {
        ckiti_log(
            cache->log, CKIT_LOG_WARNING, where,
            "%s: changes that it did not take are no longer remembered one by one (%s): nothing in it is believed "
            "until all its entries have been removed",
            cache->ops->name, unsaid);
    }
}

static const char *take_unsaid(ckiti_replay *replay) {
    const char *unsaid = replay->unsaid;
    replay->unsaid = NULL;
    return unsaid;
}

/* ---- when -------------------------------------------------------------------------------------------------------- */

static void submit(ckit_cache *cache, uint64_t due_ms) {
    ckiti_replay *replay = &cache->replay;
    bool          taken = ckiti_workers_submit(&cache->workers, &replay->job, due_ms) == CKIT_OK;
    atomic_store(&replay->state, taken ? CKITI_REPLAY_WAITS : CKITI_REPLAY_IDLE); /* else the next read tries again */
    replay->due_ms = due_ms;
}

/* UINT64_MAX: nothing is. */
static uint64_t first_due(const ckit_cache *cache) {
    const ckiti_changes    *changes = &cache->replay.changes;
    const ckiti_loose_lock *lock = cache->replay.loose.first;
    uint64_t                due_ms = changes->later.first != NULL ? changes->later.first->due_ms : UINT64_MAX;
    if (lock != NULL && lock->due_ms < due_ms) {
        due_ms = lock->due_ms;
    }
    return changes->soon.first != NULL ? ckiti_cache_now(cache) : due_ms;
}

void ckiti_replay_schedule(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (atomic_load(&replay->stopping) || atomic_load(&replay->state) == CKITI_REPLAY_RUNS) {
        return;
    }
    uint64_t due_ms = first_due(cache);
    if (due_ms == UINT64_MAX) {
        return;
    }
    if (due_ms < replay->not_before) {
        due_ms = replay->not_before;
    }
    if (atomic_load(&replay->state) == CKITI_REPLAY_WAITS) {
        if (replay->due_ms <= due_ms || !ckiti_workers_cancel(&cache->workers, &replay->job)) {
            return; /* early enough, or about to run */
        }
    }
    submit(cache, due_ms);
}

void ckiti_replay_pause(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    replay->not_before = ckiti_time_after(ckiti_cache_now(cache), replay->pause_ms);
    uint32_t most_ms = cache->options.store_optional == CKIT_ON ? CKITI_REPLAY_OPTIONAL_MS : CKITI_REPLAY_PAUSE_MS;
    replay->pause_ms = replay->pause_ms * 2 < most_ms ? replay->pause_ms * 2 : most_ms;
}

static void begin(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    bool          tries = atomic_load(&replay->state) == CKITI_REPLAY_RUNS;                /* perhaps the only one */
    if (!tries && ckiti_replay_is_quiet(replay) && ckiti_loose_is_empty(&replay->loose)) { /* it has just failed */
        replay->pause_ms = CKITI_REPLAY_FIRST_PAUSE_MS;
        replay->timeout_ms = CKITI_REPLAY_FIRST_TIMEOUT_MS;
        ckiti_replay_pause(cache);
    }
}

/* ---- what the operations tell and ask ---------------------------------------------------------------------------- */

/* With the lock held: the key, or the scope where there is one. */
static void remember(ckiti_replay *replay, ckit_slice key, uint64_t hash, const ckit_scope *scope, bool late) {
    ckiti_changes *changes = &replay->changes;
    ckiti_change  *known = ckiti_changes_covering(changes); /* then everything is to go anyway */
    if (known == NULL) {
        known = scope != NULL ? ckiti_changes_find_scope(changes, scope) : ckiti_changes_find_key(changes, key, hash);
    }
    if (known != NULL) {
        ckiti_changes_renew(changes, known, late);
    } else if (scope != NULL && scope->kind == CKIT_SCOPE_ALL) {
        distrust_everything(replay, NULL);
    } else if ((scope != NULL ? ckiti_changes_add_scope(changes, scope, late)
                              : ckiti_changes_add_key(changes, key, hash, late)) == NULL) {
        distrust_everything(replay, "too many changes failed, or there is no memory for one more");
    }
}

static void missed(ckit_cache *cache, ckit_slice key, const ckit_scope *scope, bool late) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      hash = ckiti_changes_hash(&replay->changes, key);
    pthread_mutex_lock(&replay->mu);
    begin(cache);
    remember(replay, key, hash, scope, late);
    ckiti_replay_schedule(cache);
    const char *unsaid = take_unsaid(replay);
    pthread_mutex_unlock(&replay->mu);
    say(cache, unsaid);
}

void ckiti_replay_missed(ckit_cache *cache, ckit_slice key, bool late) {
    if (cache->replay.through != NULL && key.len > 0) {
        missed(cache, key, NULL, late);
    }
}

void ckiti_replay_missed_scope(ckit_cache *cache, const ckit_scope *scope, bool late) {
    missed(cache, ckit_slice_of(NULL, 0), scope, late);
}

void ckiti_replay_loose(ckit_cache *cache, ckit_slice key, const ckit_lease *lease, bool may_come) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      now = ckiti_cache_now(cache);
    pthread_mutex_lock(&replay->mu);
    begin(cache);
    (void)ckiti_loose_add(&replay->loose, key, lease, may_come, now,
                          ckiti_time_after(now, may_come ? CKITI_REPLAY_LOCK_MS : cache->options.lock_lease_ms));
    ckiti_replay_schedule(cache);
    pthread_mutex_unlock(&replay->mu);
}

void ckiti_replay_wake(ckit_cache *cache) {
    pthread_mutex_lock(&cache->replay.mu);
    ckiti_replay_schedule(cache);
    pthread_mutex_unlock(&cache->replay.mu);
}

bool ckiti_replay_distrusts(ckit_cache *cache, ckit_slice key) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      hash = ckiti_changes_hash(&replay->changes, key);
    pthread_mutex_lock(&replay->mu);
    bool distrusts = ckiti_changes_doubt(&replay->changes, key, hash);
    if (atomic_load(&replay->state) == CKITI_REPLAY_IDLE) {
        ckiti_replay_schedule(cache);
    }
    pthread_mutex_unlock(&replay->mu);
    return distrusts;
}

uint64_t ckiti_replay_serial(ckit_cache *cache, ckit_slice key) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      hash = ckiti_changes_hash(&replay->changes, key);
    pthread_mutex_lock(&replay->mu);
    const ckiti_change *change = ckiti_changes_find_key(&replay->changes, key, hash);
    uint64_t            serial = change != NULL ? change->serial : 0;
    pthread_mutex_unlock(&replay->mu);
    return serial;
}

void ckiti_replay_changed(ckit_cache *cache, ckit_slice key, uint64_t serial) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      hash = ckiti_changes_hash(&replay->changes, key);
    pthread_mutex_lock(&replay->mu);
    ckiti_change *change = ckiti_changes_find_key(&replay->changes, key, hash);
    if (change != NULL && change->serial == serial && !change->late) {
        ckiti_changes_forget(&replay->changes, change);
        atomic_fetch_add(&replay->replayed, 1);
    }
    ckiti_replay_schedule(cache);
    pthread_mutex_unlock(&replay->mu);
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

ckit_status ckiti_replay_init(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (ckiti_changes_init(&replay->changes, cache->alloc, cache->seed) != CKIT_OK) {
        return CKIT_E_NO_MEMORY;
    }
    ckiti_loose_init(&replay->loose, cache->alloc);
    pthread_mutex_init(&replay->mu, NULL);
    ckit_buf_init(&replay->name, cache->alloc);
    replay->job.run = ckiti_replay_run;
    replay->through = cache->ops;
    replay->through_self = cache->store;
    const ckiti_guarded *guarded = ckiti_guarded_of(cache->backend);
    bool                 past_guard = guarded != NULL && cache->options.store_optional != CKIT_ON;
    replay->direct = past_guard ? guarded->inner : cache->ops;
    replay->direct_self = past_guard ? guarded->store : cache->store;
    replay->guard = past_guard ? guarded->guard : NULL;
    ckiti_replay_fill_table(replay);
    cache->ops = &replay->ops;
    cache->store = cache;
    return CKIT_OK;
}

void ckiti_replay_stop(ckit_cache *cache) { atomic_store(&cache->replay.stopping, true); }

/* For the log. */
static void say_left(ckit_cache *cache, size_t left) {
    ckiti_log(cache->log, cache->options.store_optional == CKIT_ON ? CKIT_LOG_DEBUG : CKIT_LOG_WARNING, where,
              "%s: the cache closes, and %zu %s that the store did not take %s not made up for: others may read older "
              "values until these expire",
              cache->replay.through->name, left, left == 1 ? "change" : "changes", left == 1 ? "is" : "are");
}

void ckiti_replay_fini(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (replay->changes.everything == NULL) {
        return;
    }
    pthread_mutex_lock(&replay->mu);
    size_t left = ckiti_replay_try_once(cache);
    pthread_mutex_unlock(&replay->mu);
    if (left > 0) {
        say_left(cache, left);
    }
    pthread_mutex_destroy(&replay->mu);
    ckiti_changes_fini(&replay->changes);
    ckiti_loose_fini(&replay->loose);
    ckit_buf_fini(&replay->name);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_replay_fork_prepare(ckiti_replay *replay) {
    if (replay->through != NULL) {
        pthread_mutex_lock(&replay->mu);
    }
}

void ckiti_replay_fork_parent(ckiti_replay *replay) {
    if (replay->through != NULL) {
        pthread_mutex_unlock(&replay->mu);
    }
}

void ckiti_replay_fork_child(ckiti_replay *replay) {
    if (replay->through != NULL) {
        atomic_store(&replay->state, CKITI_REPLAY_IDLE);
        ckiti_loose_forked(&replay->loose);
        pthread_mutex_init(&replay->mu, NULL);
    }
}
