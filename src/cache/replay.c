#include "cache/replay.h"

#include "base/hash.h"
#include "cache/core.h"

#include <cachekit/key.h>

static const char where[] = "cache";

/* Changes made up for in one go, before other jobs have their turn. */
#define SLICE 256u

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static ckiti_change_list *list_of(ckiti_replay *replay, const ckiti_change *change) {
    return change->is_later ? &replay->later : &replay->soon;
}

static void take_out(ckiti_replay *replay, ckiti_change *change) {
    ckiti_change_list *list = list_of(replay, change);
    *(change->prev != NULL ? &change->prev->next : &list->first) = change->next;
    *(change->next != NULL ? &change->next->prev : &list->last) = change->prev;
}

static void put_behind(ckiti_replay *replay, ckiti_change *change, ckiti_change *prev) {
    ckiti_change_list *list = list_of(replay, change);
    change->prev = prev;
    change->next = prev != NULL ? prev->next : list->first;
    *(prev != NULL ? &prev->next : &list->first) = change;
    *(change->next != NULL ? &change->next->prev : &list->last) = change;
}

static void put_soon(ckiti_replay *replay, ckiti_change *change) {
    change->is_later = false;
    put_behind(replay, change, replay->soon.last);
}

static void put_later(ckiti_replay *replay, ckiti_change *change, uint64_t due_ms) {
    change->is_later = true;
    change->due_ms = due_ms;
    ckiti_change *prev = replay->later.last;
    while (prev != NULL && prev->due_ms > due_ms) {
        prev = prev->prev;
    }
    put_behind(replay, change, prev);
}

static ckit_slice name_of(const ckiti_change *change) { return ckit_slice_of(change->bytes, change->key_len); }

static ckit_scope scope_of(const ckiti_change *change) {
    return (ckit_scope){.kind = change->scope,
                        .namespace_name = name_of(change),
                        .function = ckit_slice_of(change->bytes + change->key_len, change->function_len)};
}

/* ---- records ------------------------------------------------------------------------------------------------------- */

static size_t size_of(size_t key_len, size_t function_len) { return sizeof(ckiti_change) + key_len + function_len; }

static ckiti_change *change_new(ckit_cache *cache, ckiti_change_kind kind, ckit_slice key, ckit_slice function) {
    ckiti_change *change = ckiti_alloc_zeroed(cache->alloc, 1, size_of(key.len, function.len));
    if (change != NULL) {
        change->kind = kind;
        change->key_len = (uint32_t)key.len;
        change->function_len = (uint32_t)function.len;
        if (key.len > 0) {
            memcpy(change->bytes, key.ptr, key.len);
        }
        if (function.len > 0) {
            memcpy(change->bytes + key.len, function.ptr, function.len);
        }
    }
    return change;
}

static void change_free(ckit_cache *cache, ckiti_change *change) {
    if (change != NULL) {
        ckiti_free(cache->alloc, change, size_of(change->key_len, change->function_len));
    }
}

static void count(ckiti_replay *replay, ptrdiff_t by) {
    atomic_store_explicit(&replay->pending, atomic_load(&replay->pending) + (size_t)by, memory_order_release);
}

static ckiti_change **bucket_of(ckiti_replay *replay, uint64_t hash) {
    return &replay->buckets[hash % CKITI_REPLAY_BUCKETS];
}

static ckiti_change *find_key(ckit_cache *cache, ckit_slice key) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      hash = ckiti_xxh3(key, cache->seed);
    ckiti_change *change = replay->buckets != NULL ? *bucket_of(replay, hash) : NULL;
    while (change != NULL && (change->hash != hash || !ckit_slice_equal(name_of(change), key))) {
        change = change->chain;
    }
    return change;
}

static ckiti_change *find_scope_in(const ckiti_change_list *list, const ckit_scope *scope) {
    ckiti_change *change = list->first;
    for (; change != NULL; change = change->next) {
        ckit_scope own = scope_of(change);
        if (change->kind == CKITI_CHANGE_SCOPE && own.kind == scope->kind &&
            ckit_slice_equal(own.namespace_name, scope->namespace_name) &&
            ckit_slice_equal(own.function, scope->function)) {
            break;
        }
    }
    return change;
}

static ckiti_change *find_scope(ckiti_replay *replay, const ckit_scope *scope) {
    if (scope->kind == CKIT_SCOPE_ALL) {
        return replay->everything->listed ? replay->everything : NULL;
    }
    ckiti_change *change = replay->scopes > 0 ? find_scope_in(&replay->soon, scope) : NULL;
    return change == NULL && replay->scopes > 0 ? find_scope_in(&replay->later, scope) : change;
}

/* Out of its list and everywhere else. */
static void forget(ckit_cache *cache, ckiti_change *change) {
    ckiti_replay *replay = &cache->replay;
    take_out(replay, change);
    count(replay, -1);
    if (change == replay->everything) {
        change->listed = change->rest = false;
        return;
    }
    if (change->kind == CKITI_CHANGE_KEY) {
        ckiti_change **at = bucket_of(replay, change->hash);
        while (*at != change) {
            at = &(*at)->chain;
        }
        *at = change->chain;
    } else {
        replay->scopes--;
    }
    replay->bytes -= change->key_len + change->function_len;
    change_free(cache, change);
}

/* The newest failure of it. */
static void renew(ckiti_replay *replay, ckiti_change *change, bool late) {
    change->serial = ++replay->serial;
    change->late |= late;
    change->once = change->rest = false;
    change->refusals = 0;
}

/* ---- too many ------------------------------------------------------------------------------------------------------ */

/* All are replaced by one. `why` is for the log; NULL: it was asked for. */
static void distrust_everything(ckit_cache *cache, const char *why) {
    ckiti_replay *replay = &cache->replay;
    size_t        dropped = 0;
    for (ckiti_change_list *list = &replay->soon; list != NULL; list = list == &replay->soon ? &replay->later : NULL) {
        for (ckiti_change *change = list->first; change != NULL;) {
            ckiti_change *next = change->next;
            if (change != replay->everything) {
                forget(cache, change);
                dropped++;
            }
            change = next;
        }
    }
    atomic_fetch_add(&replay->dropped, why != NULL ? dropped : 0);
    renew(replay, replay->everything, true);
    if (replay->everything->listed) {
        take_out(replay, replay->everything);
    } else {
        replay->everything->listed = true;
        count(replay, 1);
    }
    put_soon(replay, replay->everything);
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

static bool has_room(const ckiti_replay *replay, size_t bytes) {
    return atomic_load(&replay->pending) < CKITI_REPLAY_KEYS && bytes <= CKITI_REPLAY_BYTES - replay->bytes;
}

static bool make_buckets(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (replay->buckets == NULL) {
        replay->buckets = ckiti_alloc_zeroed(cache->alloc, CKITI_REPLAY_BUCKETS, sizeof replay->buckets[0]);
    }
    return replay->buckets != NULL;
}

static void add(ckit_cache *cache, ckiti_change *change, bool late) {
    ckiti_replay *replay = &cache->replay;
    renew(replay, change, late);
    replay->bytes += change->key_len + change->function_len;
    put_soon(replay, change);
    count(replay, 1);
}

static void remember_key(ckit_cache *cache, ckit_slice key, bool late) {
    ckiti_replay *replay = &cache->replay;
    if (!has_room(replay, key.len)) {
        distrust_everything(cache, "too many changes failed");
        return;
    }
    ckiti_change *change =
        make_buckets(cache) ? change_new(cache, CKITI_CHANGE_KEY, key, ckit_slice_of(NULL, 0)) : NULL;
    if (change == NULL) {
        distrust_everything(cache, "no memory");
        return;
    }
    change->hash = ckiti_xxh3(key, cache->seed);
    change->chain = *bucket_of(replay, change->hash);
    *bucket_of(replay, change->hash) = change;
    add(cache, change, late);
}

static void remember_scope(ckit_cache *cache, const ckit_scope *scope, bool late) {
    ckiti_replay *replay = &cache->replay;
    if (scope->kind != CKIT_SCOPE_ALL && replay->scopes < CKITI_REPLAY_SCOPES &&
        has_room(replay, scope->namespace_name.len + scope->function.len)) {
        ckiti_change *change = change_new(cache, CKITI_CHANGE_SCOPE, scope->namespace_name, scope->function);
        if (change != NULL) {
            change->scope = scope->kind;
            replay->scopes++;
            add(cache, change, late);
            return;
        }
    }
    distrust_everything(cache, scope->kind == CKIT_SCOPE_ALL ? NULL : "too many changes failed");
}

/* ---- when ---------------------------------------------------------------------------------------------------------- */

static void submit(ckit_cache *cache, uint64_t due_ms) {
    ckiti_replay *replay = &cache->replay;
    bool          taken = ckiti_workers_submit(&cache->workers, &replay->job, due_ms) == CKIT_OK;
    replay->state = taken ? CKITI_REPLAY_WAITS : CKITI_REPLAY_IDLE; /* else the next operation tries again */
    replay->due_ms = due_ms;
}

/* With the lock held: the job runs when the first change is due. */
static void schedule(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (atomic_load(&replay->stopping) || replay->state == CKITI_REPLAY_RUNS ||
        (replay->soon.first == NULL && replay->later.first == NULL)) {
        return;
    }
    uint64_t due_ms = replay->soon.first != NULL ? ckiti_cache_now(cache) : replay->later.first->due_ms;
    if (due_ms == UINT64_MAX) {
        return;
    }
    if (due_ms < replay->not_before) {
        due_ms = replay->not_before;
    }
    if (replay->state == CKITI_REPLAY_WAITS) {
        if (replay->due_ms <= due_ms || !ckiti_workers_cancel(&cache->workers, &replay->job)) {
            return; /* early enough, or about to run */
        }
    }
    submit(cache, due_ms);
}

static void pause_from(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    replay->not_before = ckiti_time_after(ckiti_cache_now(cache), replay->pause_ms);
    uint32_t most_ms = cache->options.store_optional == CKIT_ON ? CKITI_REPLAY_OPTIONAL_MS : CKITI_REPLAY_PAUSE_MS;
    replay->pause_ms = replay->pause_ms * 2 < most_ms ? replay->pause_ms * 2 : most_ms;
}

static void begin(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (atomic_load(&replay->pending) == 0) { /* the first: its failure has just been seen */
        replay->pause_ms = CKITI_REPLAY_FIRST_PAUSE_MS;
        replay->timeout_ms = CKITI_REPLAY_FIRST_TIMEOUT_MS;
        pause_from(cache);
    }
}

/* ---- what the operations tell and ask ------------------------------------------------------------------------------ */

static void again(ckiti_replay *replay, ckiti_change *change, bool late) {
    renew(replay, change, late);
    take_out(replay, change);
    put_soon(replay, change);
}

/* Everything is to go anyway. */
static ckiti_change *covering(const ckiti_replay *replay) {
    return replay->everything->listed && !replay->everything->rest ? replay->everything : NULL;
}

void ckiti_replay_missed(ckit_cache *cache, ckit_slice key, bool late) {
    ckiti_replay *replay = &cache->replay;
    if (replay->through == NULL || key.len == 0) {
        return;
    }
    pthread_mutex_lock(&replay->mu);
    begin(cache);
    ckiti_change *known = covering(replay) != NULL ? covering(replay) : find_key(cache, key);
    if (known != NULL) {
        again(replay, known, late);
    } else {
        remember_key(cache, key, late);
    }
    schedule(cache);
    const char *unsaid = take_unsaid(replay);
    pthread_mutex_unlock(&replay->mu);
    say(cache, unsaid);
}

void ckiti_replay_missed_scope(ckit_cache *cache, const ckit_scope *scope, bool late) {
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    begin(cache);
    ckiti_change *known = covering(replay) != NULL ? covering(replay) : find_scope(replay, scope);
    if (known != NULL) {
        again(replay, known, late);
    } else {
        remember_scope(cache, scope, late);
    }
    schedule(cache);
    const char *unsaid = take_unsaid(replay);
    pthread_mutex_unlock(&replay->mu);
    say(cache, unsaid);
}

/* Keys hold names with blanks and line ends replaced. */
static bool is_written_as(ckit_slice name, ckit_slice text) {
    size_t i = 0;
    while (i < name.len && name.len == text.len) {
        uint8_t c = name.ptr[i];
        if ((c == ' ' || c == '\n' || c == '\r' ? '_' : c) != text.ptr[i]) {
            break;
        }
        i++;
    }
    return i == name.len && name.len == text.len;
}

/* The key may belong to the scope: most keys do not tell. */
static bool may_be_in(const ckit_scope *scope, const ckit_key_parts *parts) {
    if (!parts->automatic || !parts->namespace_known || scope->kind == CKIT_SCOPE_ALL) {
        return true;
    }
    return is_written_as(scope->namespace_name, parts->namespace_name) &&
           (scope->kind == CKIT_SCOPE_NAMESPACE || parts->shortened ||
            ckit_slice_equal(scope->function, parts->function));
}

static bool is_in_a_scope(const ckiti_change_list *list, const ckit_key_parts *parts) {
    for (const ckiti_change *change = list->first; change != NULL; change = change->next) {
        ckit_scope scope = scope_of(change);
        if (change->kind == CKITI_CHANGE_SCOPE && !(change->rest && parts->automatic) && may_be_in(&scope, parts)) {
            return true;
        }
    }
    return false;
}

bool ckiti_replay_distrusts(ckit_cache *cache, ckit_slice key) {
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    bool distrusts = find_key(cache, key) != NULL;
    if (!distrusts && (replay->scopes > 0 || replay->everything->listed)) {
        ckit_key_parts parts = ckit_key_describe(key);
        distrusts = is_in_a_scope(&replay->soon, &parts) || is_in_a_scope(&replay->later, &parts);
    }
    if (replay->state == CKITI_REPLAY_IDLE) {
        schedule(cache);
    }
    pthread_mutex_unlock(&replay->mu);
    return distrusts;
}

uint64_t ckiti_replay_serial(ckit_cache *cache, ckit_slice key) {
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    const ckiti_change *change = find_key(cache, key);
    uint64_t            serial = change != NULL ? change->serial : 0;
    pthread_mutex_unlock(&replay->mu);
    return serial;
}

void ckiti_replay_changed(ckit_cache *cache, ckit_slice key, uint64_t serial) {
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    ckiti_change *change = find_key(cache, key);
    if (change != NULL && change->serial == serial && !change->late) {
        forget(cache, change);
        atomic_fetch_add(&replay->replayed, 1);
    }
    schedule(cache);
    pthread_mutex_unlock(&replay->mu);
}

/* ---- making up for it ---------------------------------------------------------------------------------------------- */

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
    ckiti_change *change = replay->soon.first;
    if (change == NULL && replay->later.first != NULL &&
        (all || replay->later.first->due_ms <= ckiti_cache_now(cache))) {
        change = replay->later.first;
    }
    replay->name.len = 0;
    if (change == NULL || change->rest) {
        return false;
    }
    if (ckit_buf_append(&replay->name, ckit_slice_of(change->bytes, change->key_len + change->function_len)) !=
        CKIT_OK) {
        pause_from(cache); /* it stays due, and memory is not there at once */
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
    ckiti_replay *replay = &cache->replay;
    if (change->late && !change->once) {
        change->once = true;
        change->refusals = 0;
        take_out(replay, change);
        put_later(replay, change, ckiti_time_after(ckiti_cache_now(cache), CKITI_REPLAY_SETTLE_MS));
    } else if (change == replay->everything && !whole) {
        change->rest = true;
        take_out(replay, change);
        put_later(replay, change, UINT64_MAX);
    } else {
        forget(cache, change);
        atomic_fetch_add(&replay->replayed, 1);
    }
}

static void refused(ckit_cache *cache, ckiti_change *change) {
    ckiti_replay *replay = &cache->replay;
    uint64_t      pause_ms = CKITI_REPLAY_REFUSED_MS;
    for (uint32_t i = 0; i < change->refusals && pause_ms < CKITI_REPLAY_REFUSED_MAX_MS; i++) {
        pause_ms *= 2;
    }
    change->refusals++;
    take_out(replay, change);
    put_later(replay, change, ckiti_time_after(ckiti_cache_now(cache), pause_ms));
}

/* The store answers, but will not do this. */
static bool is_refusal(ckit_status st, const ckit_error *why) {
    ckit_error_kind kind = why->status == st ? why->kind : ckit_status_kind(st);
    return kind == CKIT_KIND_PERMANENT || kind == CKIT_KIND_MISUSE;
}

/* With the lock held. False when the store is away. */
static bool judge(ckit_cache *cache, const errand *e, ckit_status st, bool whole, const ckit_error *why) {
    ckiti_replay *replay = &cache->replay;
    ckiti_change *change = e->kind == CKITI_CHANGE_KEY ? find_key(cache, e->key) : find_scope(replay, &e->scope);
    bool          same = change != NULL && change->serial == e->serial;
    if (st >= CKIT_E_FIRST && !is_refusal(st, why)) {
        pause_from(cache);
        if (st == CKIT_E_TIMEOUT) {
            uint32_t longer = replay->timeout_ms + CKITI_REPLAY_FIRST_TIMEOUT_MS;
            replay->timeout_ms = longer < CKITI_REPLAY_TIMEOUT_MS ? longer : CKITI_REPLAY_TIMEOUT_MS;
        }
        return false;
    }
    replay->pause_ms = CKITI_REPLAY_FIRST_PAUSE_MS;
    replay->timeout_ms = CKITI_REPLAY_FIRST_TIMEOUT_MS;
    if (same && st < CKIT_E_FIRST) {
        settle(cache, change, whole);
    } else if (same) {
        refused(cache, change);
    }
    return true;
}

static uint64_t deadline_of(const ckit_cache *cache, const errand *e, uint64_t last_ms) {
    uint64_t now = ckiti_cache_now(cache);
    uint32_t timeout_ms = cache->replay.timeout_ms;
    if (e->kind == CKITI_CHANGE_SCOPE) { /* a walk takes the time it takes, unless the cache closes */
        return last_ms;
    }
    uint64_t own = ckiti_time_after(
        now, timeout_ms < cache->options.store_timeout_ms ? timeout_ms : cache->options.store_timeout_ms);
    return own < last_ms ? own : last_ms;
}

/* Up to `most` changes, those that are not due too when `all`; until the store fails. Lock held, but not meanwhile. */
static void make_up(ckit_cache *cache, size_t most, bool all, uint64_t last_ms) {
    ckiti_replay *replay = &cache->replay;
    errand        e;
    bool          goes_on = true;
    while (goes_on && most-- > 0 && next_errand(cache, all, &e)) {
        ckit_error why = CKIT_ERROR_INIT;
        bool       whole = true;
        uint64_t   deadline_ms = deadline_of(cache, &e, last_ms);
        pthread_mutex_unlock(&replay->mu);
        ckit_status st = run_errand(cache, &e, deadline_ms, &whole, &why);
        pthread_mutex_lock(&replay->mu);
        goes_on = judge(cache, &e, st, whole, &why) && (all || !atomic_load(&replay->stopping)) &&
                  ckiti_cache_now(cache) < last_ms;
    }
}

static void run(ckiti_job *job) {
    ckit_cache   *cache = (ckit_cache *)(void *)((char *)job - offsetof(ckit_cache, replay.job));
    ckiti_replay *replay = &cache->replay;
    pthread_mutex_lock(&replay->mu);
    size_t before = atomic_load(&replay->pending);
    replay->state = CKITI_REPLAY_RUNS;
    make_up(cache, SLICE, false, CKIT_NO_DEADLINE);
    replay->state = CKITI_REPLAY_IDLE;
    schedule(cache);
    size_t left = atomic_load(&replay->pending);
    pthread_mutex_unlock(&replay->mu);
    if (before > 0 && left == 0) {
        ckiti_log(cache->log, CKIT_LOG_INFO, where, "%s: what it did not take has been made up for",
                  replay->through->name);
    }
}

/* ---- beginning and ending ------------------------------------------------------------------------------------------ */

ckit_status ckiti_replay_init(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    replay->everything = change_new(cache, CKITI_CHANGE_SCOPE, ckit_slice_of(NULL, 0), ckit_slice_of(NULL, 0));
    if (replay->everything == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    replay->everything->scope = CKIT_SCOPE_ALL;
    pthread_mutex_init(&replay->mu, NULL);
    ckit_buf_init(&replay->name, cache->alloc);
    replay->job.run = run;
    replay->through = cache->ops;
    replay->through_self = cache->store;
    const ckiti_guarded *guarded = ckiti_guarded_of(cache->backend);
    bool                 past_guard = guarded != NULL && cache->options.store_optional != CKIT_ON;
    replay->direct = past_guard ? guarded->inner : cache->ops;
    replay->direct_self = past_guard ? guarded->store : cache->store;
    ckiti_replay_fill_table(replay);
    cache->ops = &replay->ops;
    cache->store = cache;
    return CKIT_OK;
}

void ckiti_replay_stop(ckit_cache *cache) { atomic_store(&cache->replay.stopping, true); }

/* One pass. Returns what is left: neither made up for, nor waiting only to be removed once more. */
static size_t try_once(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    size_t        left = 0;
    make_up(cache, atomic_load(&replay->pending), true,
            ckiti_time_after(ckiti_cache_now(cache), CKITI_REPLAY_CLOSE_MS));
    for (const ckiti_change *change = replay->soon.first; change != NULL; change = change->next) {
        left++;
    }
    for (const ckiti_change *change = replay->later.first; change != NULL; change = change->next) {
        left += !change->once && !change->rest;
    }
    return left;
}

void ckiti_replay_fini(ckit_cache *cache) {
    ckiti_replay *replay = &cache->replay;
    if (replay->everything == NULL) {
        return;
    }
    pthread_mutex_lock(&replay->mu);
    size_t left = try_once(cache);
    while (replay->soon.first != NULL || replay->later.first != NULL) {
        forget(cache, replay->soon.first != NULL ? replay->soon.first : replay->later.first);
    }
    pthread_mutex_unlock(&replay->mu);
    if (left > 0) {
        ckiti_log(cache->log, cache->options.store_optional == CKIT_ON ? CKIT_LOG_DEBUG : CKIT_LOG_WARNING, where,
                  "%s: the cache closes, and %zu changes that the store did not take are not made up for: others may "
                  "read older values until these expire",
                  replay->through->name, left);
    }
    pthread_mutex_destroy(&replay->mu);
    ckiti_free(cache->alloc, replay->buckets, CKITI_REPLAY_BUCKETS * sizeof replay->buckets[0]);
    change_free(cache, replay->everything);
    ckit_buf_fini(&replay->name);
}

/* ---- fork ---------------------------------------------------------------------------------------------------------- */

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
        replay->state = CKITI_REPLAY_IDLE; /* the next operation that meets something remembered starts the job */
        pthread_mutex_init(&replay->mu, NULL);
    }
}
