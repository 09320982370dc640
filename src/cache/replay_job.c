/* Making up for changes that a store did not take, and for locks that it holds for nobody: a job of the cache's workers.
 */
#include "cache/core.h"
#include "cache/replay.h"

static const char where[] = "cache";

/* Changes made up for in one go, before other jobs have their turn. */
#define SLICE 256u

/* A change as it was when its removal began. */
typedef struct errand {
    ckiti_change_kind kind;
    ckit_scope        scope;
    ckit_slice        key;
    uint64_t          serial;
} errand;

/* The next change that is due, copied; false when there is none. */
static bool next_errand(ckit_cache *cache, bool all, errand *out) {
    ckiti_replay *replay = &cache->replay;
    ckiti_change *change = replay->changes.soon.first;
    ckiti_change *later = replay->changes.later.first;
    if (change == NULL && later != NULL && (all || later->due_ms <= ckiti_cache_now(cache))) {
        change = later;
    }
    replay->name.len = 0;
    if (change == NULL || change->rest) {
        return false;
    }
    if (ckit_buf_append(&replay->name, ckit_slice_of(change->bytes, change->key_len + change->function_len)) !=
        CKIT_OK) {
        ckiti_replay_pause(cache); /* it stays due, and memory is not there at once */
        return false;
    }
    ckit_slice name = ckit_buf_slice(&replay->name);
    *out = (errand){.kind = change->kind, .serial = change->serial};
    out->key = ckit_slice_of(name.ptr, change->key_len);
    out->scope = (ckit_scope){.kind = change->scope, .namespace_name = out->key};
    if (change->function_len > 0) {
        out->scope.function = ckit_slice_of(name.ptr + change->key_len, change->function_len);
    }
    return true;
}

static ckit_status run_errand(const ckit_cache *cache, const errand *e, uint64_t deadline_ms, bool *whole,
                              ckit_error *why) {
    const ckiti_replay *replay = &cache->replay;
    ckit_deleted        deleted = {0, 0};
    if (e->kind == CKITI_CHANGE_KEY) {
        return replay->direct->remove(replay->direct_self, e->key, deadline_ms, why);
    }
    if (replay->direct->delete_scope == NULL) {
        return ckit_fail(why, CKIT_E_UNSUPPORTED, where, "the store cannot delete by scope");
    }
    ckit_status st = replay->direct->delete_scope(replay->direct_self, &e->scope, deadline_ms, &deleted, why);
    *whole = deleted.unindexed == 0;
    return st;
}

/* The store has done it. */
static void settle(ckit_cache *cache, ckiti_change *change, bool whole) {
    ckiti_changes *changes = &cache->replay.changes;
    if (change->late && !change->once) {
        change->once = true;
        change->refusals = 0;
        ckiti_changes_put_off(changes, change, ckiti_time_after(ckiti_cache_now(cache), CKITI_REPLAY_SETTLE_MS));
    } else if (change == changes->everything && !whole) {
        change->rest = true;
        ckiti_changes_put_off(changes, change, UINT64_MAX);
    } else {
        ckiti_changes_forget(changes, change);
        atomic_fetch_add(&cache->replay.replayed, 1);
    }
}

static void refused(ckit_cache *cache, ckiti_change *change) {
    uint64_t pause_ms = CKITI_REPLAY_REFUSED_MS;
    for (uint32_t i = 0; i < change->refusals && pause_ms < CKITI_REPLAY_REFUSED_MAX_MS; i++) {
        pause_ms *= 2;
    }
    change->refusals++;
    ckiti_changes_put_off(&cache->replay.changes, change, ckiti_time_after(ckiti_cache_now(cache), pause_ms));
}

/* The store answers, but will not do this. */
static bool is_refusal(ckit_status st, const ckit_error *why) {
    ckit_error_kind kind = why->status == st ? why->kind : ckit_status_kind(st);
    return kind == CKIT_KIND_PERMANENT || kind == CKIT_KIND_MISUSE;
}

/* With the lock held, what an attempt tells of the store. False when it is away. */
static bool is_there(ckit_cache *cache, ckit_status st, const ckit_error *why) {
    ckiti_replay *replay = &cache->replay;
    if (st >= CKIT_E_FIRST && !is_refusal(st, why)) {
        ckiti_replay_pause(cache);
        if (st == CKIT_E_TIMEOUT) {
            uint32_t longer = replay->timeout_ms + CKITI_REPLAY_FIRST_TIMEOUT_MS;
            replay->timeout_ms = longer < CKITI_REPLAY_TIMEOUT_MS ? longer : CKITI_REPLAY_TIMEOUT_MS;
        }
        return false;
    }
    replay->pause_ms = CKITI_REPLAY_FIRST_PAUSE_MS;
    replay->timeout_ms = CKITI_REPLAY_FIRST_TIMEOUT_MS;
    return true;
}

/* The same, and what becomes of the change. */
static bool judge(ckit_cache *cache, const errand *e, ckit_status st, bool whole, const ckit_error *why) {
    ckiti_changes *changes = &cache->replay.changes;
    ckiti_change  *change = e->kind == CKITI_CHANGE_KEY
                                ? ckiti_changes_find_key(changes, e->key, ckiti_changes_hash(changes, e->key))
                                : ckiti_changes_find_scope(changes, &e->scope);
    bool           same = change != NULL && change->serial == e->serial;
    if (!is_there(cache, st, why)) {
        return false;
    }
    if (same && st < CKIT_E_FIRST) {
        settle(cache, change, whole);
    } else if (same) {
        refused(cache, change);
    }
    return true;
}

/* Of an attempt that is no walk. */
static uint64_t deadline_by(const ckit_cache *cache, uint64_t last_ms) {
    uint32_t timeout_ms = cache->replay.timeout_ms;
    uint64_t own =
        ckiti_time_after(ckiti_cache_now(cache),
                         timeout_ms < cache->options.store_timeout_ms ? timeout_ms : cache->options.store_timeout_ms);
    return own < last_ms ? own : last_ms;
}

static uint64_t deadline_of(const ckit_cache *cache, const errand *e, uint64_t last_ms) {
    /* A walk takes the time it takes, unless the cache closes. */
    return e->kind == CKITI_CHANGE_SCOPE ? last_ms : deadline_by(cache, last_ms);
}

static void tell_guard(const ckiti_replay *replay, ckit_status st, const ckit_error *why) {
    if (replay->guard != NULL && st >= CKIT_E_FIRST) {
        ckiti_guard_hear(replay->guard, st, why);
    }
}

/* Up to `most` changes, those that are not due too when `all`; until the store fails: false. Lock held, but not
 * meanwhile. */
static bool make_up(ckit_cache *cache, size_t most, bool all, uint64_t last_ms) {
    ckiti_replay *replay = &cache->replay;
    errand        e;
    bool          goes_on = true;
    while (goes_on && most-- > 0 && next_errand(cache, all, &e)) {
        ckit_error why = CKIT_ERROR_INIT;
        bool       whole = true;
        uint64_t   deadline_ms = deadline_of(cache, &e, last_ms);
        pthread_mutex_unlock(&replay->mu);
        ckit_status st = run_errand(cache, &e, deadline_ms, &whole, &why);
        tell_guard(replay, st, &why);
        pthread_mutex_lock(&replay->mu);
        goes_on = judge(cache, &e, st, whole, &why) && (all || !atomic_load(&replay->stopping)) &&
                  ckiti_cache_now(cache) < last_ms;
    }
    return goes_on;
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

/* Each of them is released by its token. The status of the whole, which for a single one is its own. */
static ckit_status release(const ckiti_replay *replay, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                           uint64_t deadline_ms, ckit_status *answers, ckit_error *why) {
    if (count > 1) {
        return replay->direct->lock_release_many(replay->direct_self, keys, leases, count, deadline_ms, answers, why);
    }
    answers[0] = replay->direct->lock_release(replay->direct_self, keys[0], &leases[0], deadline_ms, why);
    return answers[0];
}

/* What becomes of it after that answer; the store was away when it is neither a refusal nor an answer. */
static void settle_lock(ckit_cache *cache, ckiti_loose_lock *lock, ckit_status answer, bool away, bool all) {
    ckiti_loose *loose = &cache->replay.loose;
    uint64_t     now = ckiti_cache_now(cache);
    if (away) {
        ckiti_loose_put(loose, lock, now);
    } else if (answer == CKIT_MISS && lock->may_come && !all) {
        lock->may_come = false; /* it comes now or never, and its lease begins then */
        lock->end_ms = ckiti_time_after(now, cache->options.lock_lease_ms);
        ckiti_loose_put(loose, lock, ckiti_time_after(now, CKITI_REPLAY_SETTLE_MS));
    } else {
        ckiti_loose_free(loose, lock);
    }
}

/* Up to `most` of those that are due, or of any when `all`; in one go where the store can do that. Lock held, but not
 * meanwhile. How many it was asked for; 0 when none is there, or the store is away. */
static size_t let_some_go(ckit_cache *cache, size_t most, bool all, uint64_t last_ms) {
    ckiti_replay     *replay = &cache->replay;
    ckit_slice        keys[CKITI_LOOSE_PORTION];
    ckit_lease        leases[CKITI_LOOSE_PORTION];
    ckit_status       answers[CKITI_LOOSE_PORTION];
    ckit_error        why = CKIT_ERROR_INIT;
    ckiti_loose_lock *lock;
    most = replay->direct->lock_release_many == NULL ? 1 : most < CKITI_LOOSE_PORTION ? most : CKITI_LOOSE_PORTION;
    size_t count = ckiti_loose_take(&replay->loose, ckiti_cache_now(cache), all, most), i = 0;
    if (count == 0) {
        return 0;
    }
    for (lock = replay->loose.asked; lock != NULL; lock = lock->next) {
        keys[i] = ckit_slice_of(lock->key, lock->key_len);
        leases[i++] = lock->lease;
    }
    uint64_t deadline_ms = deadline_by(cache, last_ms);
    pthread_mutex_unlock(&replay->mu);
    ckit_status whole = release(replay, keys, leases, count, deadline_ms, answers, &why), worst = whole;
    tell_guard(replay, whole, &why);
    pthread_mutex_lock(&replay->mu);
    for (i = 0; (lock = ckiti_loose_answered(&replay->loose)) != NULL; i++) { /* a child has none */
        ckit_status answer = whole >= CKIT_E_FIRST ? whole : answers[i];
        bool        away = answer >= CKIT_E_FIRST && !is_refusal(answer, &why);
        worst = away ? answer : worst;
        settle_lock(cache, lock, answer, away, all);
    }
    return is_there(cache, worst, &why) ? count : 0;
}

/* The same of many, until the store fails. */
static void let_go(ckit_cache *cache, bool all, uint64_t last_ms) {
    const ckiti_replay *replay = &cache->replay;
    size_t              most = all ? CKITI_LOOSE_MOST : SLICE, count = 1;
    while (count > 0 && most > 0 && (all || !atomic_load(&replay->stopping)) && ckiti_cache_now(cache) < last_ms) {
        count = let_some_go(cache, most, all, last_ms);
        most -= count;
    }
}

/* With the lock held: how often nothing has been left since the log heard of it; 0: it is not to hear of this yet. A
 * store that takes some changes and not others is done with by and by, many times a second. */
static uint64_t take_word(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      now = ckiti_cache_now(cache), times = ++replay->unsaid_times;
    if (now < replay->next_word_ms) {
        return 0;
    }
    replay->next_word_ms = ckiti_time_after(now, CKITI_REPLAY_WORD_MS);
    replay->unsaid_times = 0;
    return times;
}

void ckiti_replay_run(ckiti_job *job) {
    ckit_cache   *cache = (ckit_cache *)(void *)((char *)job - offsetof(ckit_cache, replay.job));
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    size_t before = atomic_load(&replay->changes.count);
    atomic_store(&replay->state, CKITI_REPLAY_RUNS);
    if (make_up(cache, SLICE, false, CKIT_NO_DEADLINE)) {
        let_go(cache, false, CKIT_NO_DEADLINE);
    }
    atomic_store(&replay->state, CKITI_REPLAY_IDLE);
    ckiti_replay_schedule(cache);
    size_t   left = atomic_load(&replay->changes.count);
    uint64_t times = before > 0 && left == 0 ? take_word(cache) : 0;
    pthread_mutex_unlock(&replay->mu);
    if (times == 1) {
        ckiti_log(cache->log, CKIT_LOG_INFO, where, "%s: what it did not take has been made up for",
                  replay->through->name);
    } else if (times > 1) {
        ckiti_log(cache->log, CKIT_LOG_INFO, where, "%s: what it did not take has been made up for, %llu times by now",
                  replay->through->name, (unsigned long long)times);
    }
}

size_t ckiti_replay_try_once(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    size_t        left = 0;
    uint64_t      last_ms = ckiti_time_after(ckiti_cache_now(cache), CKITI_REPLAY_CLOSE_MS);
    if (make_up(cache, atomic_load(&replay->changes.count), true, last_ms)) {
        let_go(cache, true, last_ms);
    }
    for (const ckiti_change *change = replay->changes.soon.first; change != NULL; change = change->next) {
        left++;
    }
    for (const ckiti_change *change = replay->changes.later.first; change != NULL; change = change->next) {
        left += !change->once && !change->rest;
    }
    return left;
}
