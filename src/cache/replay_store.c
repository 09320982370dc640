/* The table between a cache and its store: every operation passes through, those that change entries are watched. */
#include "cache/core.h"
#include "cache/replay.h"

#include <string.h>

/* It was turned away before it was sent, or there was nobody to send it to. Every other failure may still take
 * effect. */
static bool was_never_sent(ckit_status st) {
    return st == CKIT_E_CIRCUIT_OPEN || st == CKIT_E_BUSY || st == CKIT_E_POOL_EXHAUSTED || st == CKIT_E_UNREACHABLE;
}

static uint64_t begin_change(ckit_cache *cache, ckit_slice key) {
    return ckiti_replay_is_quiet(&cache->replay) ? 0 : ckiti_replay_serial(cache, key);
}

/* `done`: the store holds what it was told. */
static ckit_status end_change(ckit_cache *cache, ckit_slice key, uint64_t serial, ckit_status st, bool done) {
    if (st >= CKIT_E_FIRST) {
        ckiti_replay_missed(cache, key, !was_never_sent(st));
    } else if (serial != 0 && done) {
        ckiti_replay_changed(cache, key, serial);
    }
    return st;
}

/* Asked by whoever reads, which is often enough to find out that nobody is at what is remembered. */
static bool is_distrusted(ckit_cache *cache, ckit_slice key) {
    if (!ckiti_replay_is_quiet(&cache->replay)) {
        return ckiti_replay_distrusts(cache, key);
    }
    if (ckiti_replay_sleeps(&cache->replay)) {
        ckiti_replay_wake(cache);
    }
    return false;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static ckit_status get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                       ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    return is_distrusted(cache, key) ? CKIT_MISS
                                     : r->through->get(r->through_self, key, deadline_ms, out, life_ms, err);
}

static ckit_status exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    return is_distrusted(cache, key) ? CKIT_MISS : r->through->exists(r->through_self, key, deadline_ms, err);
}

static ckit_status ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    return is_distrusted(cache, key) ? CKIT_MISS : r->through->ttl(r->through_self, key, deadline_ms, life_ms, err);
}

/* Where one of them is distrusted, one by one. */
static ckit_status get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                            uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    bool                whole = true;
    for (size_t i = 0; i < count && whole; i++) {
        whole = !is_distrusted(cache, keys[i]);
    }
    if (whole) {
        return r->through->get_many(r->through_self, keys, count, deadline_ms, out, life_ms, answers, err);
    }
    for (size_t i = 0; i < count; i++) {
        answers[i] = get(self, keys[i], deadline_ms, &out[i], &life_ms[i], NULL);
    }
    return CKIT_OK;
}

/* The cache reads this way; what changes entries does not come here. */
static ckit_status submit(void *self, ckit_request *request, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    if (request->kind != CKIT_REQUEST_GET) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, "cache", "changes are not handed over to the store");
    }
    if (is_distrusted(cache, request->key)) {
        request->done(request, CKIT_MISS);
        return CKIT_PENDING;
    }
    return r->through->submit(r->through_self, request, err);
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

/* A store that cannot hold it keeps an older value: the cache removes that next. */
static ckit_status end_write(ckit_cache *cache, ckit_slice key, uint64_t serial, ckit_status st) {
    return st == CKIT_E_TOO_LARGE ? st : end_change(cache, key, serial, st, st == CKIT_OK);
}

static ckit_status set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info, uint64_t deadline_ms,
                       ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    uint64_t            serial = begin_change(cache, key);
    return end_write(cache, key, serial, r->through->set(r->through_self, key, value, info, deadline_ms, err));
}

static ckit_status set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    uint64_t            serial = begin_change(cache, key);
    return end_write(cache, key, serial,
                     r->through->set_if_owner(r->through_self, key, value, info, lease, deadline_ms, err));
}

static ckit_status end_writes(ckit_cache *cache, const ckit_slice *keys, size_t count, ckit_status whole,
                              const ckit_status *answers) {
    for (size_t i = 0; i < count; i++) {
        (void)end_write(cache, keys[i], 0, whole != CKIT_OK ? whole : answers[i]);
    }
    return whole;
}

/* Means the same afterwards, so it changes nothing of what is to be made up for. */
static ckit_status replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                           ckit_error *err) {
    const ckiti_replay *r = &((ckit_cache *)self)->replay;
    return r->through->replace(r->through_self, key, expected, value, deadline_ms, err);
}

static ckit_status set_many(void *self, const ckit_slice *keys, const ckit_slice *values, const ckit_entry_info *infos,
                            size_t count, uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    ckit_status whole = r->through->set_many(r->through_self, keys, values, infos, count, deadline_ms, answers, err);
    return end_writes(cache, keys, count, whole, answers);
}

static ckit_status set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                     const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                     uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    ckit_status         whole =
        r->through->set_many_if_owner(r->through_self, keys, values, infos, leases, count, deadline_ms, answers, err);
    return end_writes(cache, keys, count, whole, answers);
}

static ckit_status remove_entry(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    uint64_t            serial = begin_change(cache, key);
    return end_change(cache, key, serial, r->through->remove(r->through_self, key, deadline_ms, err), true);
}

static ckit_status touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    return is_distrusted(cache, key) ? CKIT_MISS : r->through->touch(r->through_self, key, ttl_ms, deadline_ms, err);
}

/* What a store refuses for good is its caller's to know: it would be distrusted for ever. */
static ckit_status delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                ckit_error *err) {
    ckit_cache         *cache = self;
    const ckiti_replay *r = &cache->replay;
    ckit_error          why = CKIT_ERROR_INIT;
    ckit_status         st = r->through->delete_scope(r->through_self, scope, deadline_ms, out, &why);
    if (st >= CKIT_E_FIRST) {
        ckit_error_kind kind = why.status == st ? why.kind : ckit_status_kind(st);
        if (err != NULL) {
            *err = why;
        }
        if (kind != CKIT_KIND_PERMANENT && kind != CKIT_KIND_MISUSE) {
            ckiti_replay_missed_scope(cache, scope, !was_never_sent(st));
        }
    }
    return st;
}

/* ---- as it is ---------------------------------------------------------------------------------------------------- */

static const ckit_backend_ops *ops_of(void *self) { return ((const ckit_cache *)self)->replay.through; }
static void                   *self_of(void *self) { return ((const ckit_cache *)self)->replay.through_self; }

static void health(void *self, uint64_t deadline_ms, ckit_health *out) {
    ops_of(self)->health(self_of(self), deadline_ms, out);
}

static ckit_status list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                        ckit_error *err) {
    return ops_of(self)->list(self_of(self), scope, deadline_ms, each, context, err);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

void ckit_cache_let_lock_go(ckit_cache *cache, ckit_slice key, const ckit_lease *lease) {
    static const uint8_t none[sizeof lease->token];
    bool                 is_one = lease != NULL && (lease->fence != 0 || memcmp(lease->token, none, sizeof none) != 0);
    if (is_one && cache != NULL && cache->ops != NULL && cache->ops->lock_release != NULL) {
        ckiti_replay_loose(cache, key, lease, true);
    }
}

/* The attempt failed: where the store says what the lock would be held by, it may have been taken, or be taken yet. */
static void end_attempt(ckit_cache *cache, ckit_slice key, const ckit_lease *lease, ckit_status st) {
    if (st >= CKIT_E_FIRST) {
        ckit_cache_let_lock_go(cache, key, lease);
    }
}

static ckit_status lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                            ckit_error *err) {
    *lease = (ckit_lease){.fence = 0};
    ckit_status st = ops_of(self)->lock_try(self_of(self), key, lease_ms, deadline_ms, lease, err);
    end_attempt(self, key, lease, st);
    return st;
}

static ckit_status lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                              uint64_t deadline_ms, ckit_error *err) {
    return ops_of(self)->lock_renew(self_of(self), key, lease, lease_ms, deadline_ms, err);
}

static ckit_status lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                ckit_error *err) {
    ckit_status st = ops_of(self)->lock_release(self_of(self), key, lease, deadline_ms, err);
    if (st >= CKIT_E_FIRST) {
        ckiti_replay_loose(self, key, lease, false);
    }
    return st;
}

static ckit_status lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                 uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err) {
    memset(leases, 0, count * sizeof *leases);
    ckit_status whole =
        ops_of(self)->lock_try_many(self_of(self), keys, count, lease_ms, deadline_ms, leases, answers, err);
    for (size_t i = 0; i < count; i++) {
        end_attempt(self, keys[i], &leases[i], whole != CKIT_OK ? whole : answers[i]);
    }
    return whole;
}

static ckit_status lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                   uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    return ops_of(self)->lock_renew_many(self_of(self), keys, leases, count, lease_ms, deadline_ms, answers, err);
}

static ckit_status lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                     uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    ckit_status whole = ops_of(self)->lock_release_many(self_of(self), keys, leases, count, deadline_ms, answers, err);
    for (size_t i = 0; i < count; i++) {
        if (whole != CKIT_OK || answers[i] >= CKIT_E_FIRST) {
            ckiti_replay_loose(self, keys[i], &leases[i], false);
        }
    }
    return whole;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static ckit_slice key_prefix(void *self) { return ops_of(self)->key_prefix(self_of(self)); }

static ckit_status stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context, int64_t *since_wall_ms,
                         ckit_error *err) {
    return ops_of(self)->stats(self_of(self), deadline_ms, each, context, since_wall_ms, err);
}

static ckit_status sweep(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err) {
    return ops_of(self)->sweep(self_of(self), deadline_ms, out, err);
}

static ckit_status watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    return ops_of(self)->watch(self_of(self), sink, err);
}

/* The cache closes its backend, never this table. */
static void close_nothing(void *self) { (void)self; }

#define WHERE_THE_STORE_HAS(operation, ours) .operation = store->operation != NULL ? (ours) : NULL

void ckiti_replay_fill_table(ckiti_replay *replay) {
    const ckit_backend_ops *store = replay->through;
    replay->ops = (ckit_backend_ops){
        .abi = store->abi,
        .name = store->name,
        .get = get,
        .set = set,
        .remove = remove_entry,
        .exists = exists,
        .health = health,
        .close = close_nothing,
        WHERE_THE_STORE_HAS(ttl, ttl),
        WHERE_THE_STORE_HAS(touch, touch),
        WHERE_THE_STORE_HAS(get_many, get_many),
        WHERE_THE_STORE_HAS(set_many, set_many),
        WHERE_THE_STORE_HAS(submit, submit),
        WHERE_THE_STORE_HAS(list, list),
        WHERE_THE_STORE_HAS(delete_scope, delete_scope),
        WHERE_THE_STORE_HAS(lock_try, lock_try),
        WHERE_THE_STORE_HAS(lock_renew, lock_renew),
        WHERE_THE_STORE_HAS(lock_release, lock_release),
        WHERE_THE_STORE_HAS(set_if_owner, set_if_owner),
        WHERE_THE_STORE_HAS(key_prefix, key_prefix),
        WHERE_THE_STORE_HAS(stats, stats),
        WHERE_THE_STORE_HAS(sweep, sweep),
        WHERE_THE_STORE_HAS(watch, watch),
        WHERE_THE_STORE_HAS(lock_try_many, lock_try_many),
        WHERE_THE_STORE_HAS(lock_renew_many, lock_renew_many),
        WHERE_THE_STORE_HAS(lock_release_many, lock_release_many),
        WHERE_THE_STORE_HAS(set_many_if_owner, set_many_if_owner),
        WHERE_THE_STORE_HAS(replace, replace),
    };
}
