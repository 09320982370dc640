#include "cache/stale.h"

#include "cache/store.h"

/* Stores that keep whole seconds may tell that much too much. */
#define COARSE_MS 1000u

ckit_status ckiti_stale_name(const ckit_cache *cache, ckit_slice key, ckit_buf *name) {
    ckit_buf_init(name, cache->alloc);
    ckit_status st = ckit_buf_append(name, key);
    return st == CKIT_OK ? ckit_buf_append(name, ckit_slice_str(CKITI_STALE_SUFFIX)) : st;
}

/* How long a value of this life is kept; 0: not beyond it. */
static uint64_t kept_ms(const ckit_function *function, uint64_t ttl_ms) {
    if (function->keep_ms == 0 || ttl_ms > CKIT_TTL_MAX_MS) {
        return 0;
    }
    uint64_t whole = ttl_ms + function->keep_ms;
    return whole < CKIT_TTL_MAX_MS ? whole : CKIT_TTL_MAX_MS;
}

bool ckiti_stale_is_kept(const ckit_function *function, uint64_t ttl_ms) { return kept_ms(function, ttl_ms) != 0; }

ckit_entry_info ckiti_stale_info(const ckit_function *function, uint64_t ttl_ms) {
    const ckiti_function_record *record = function->record;
    return (ckit_entry_info){.ttl_ms = kept_ms(function, ttl_ms),
                             .namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                             .function = ckit_slice_of(record->name, record->name_len)};
}

void ckiti_stale_written(const ckit_function *function, ckit_slice name, ckit_status st, const ckit_error *why) {
    if (st == CKIT_OK) {
        ckiti_count(&function->cache->counters, CKITI_L2_WRITES, 1);
    } else {
        ckiti_store_failed(function->cache, "set", name, why);
    }
}

void ckiti_stale_write(const ckit_function *function, ckit_slice name, ckit_slice stored, uint64_t ttl_ms) {
    ckit_cache     *cache = function->cache;
    ckit_entry_info info = ckiti_stale_info(function, ttl_ms);
    ckit_error      why = CKIT_ERROR_INIT;
    ckit_status     st = cache->ops->set(cache->store, name, stored, &info, ckiti_store_deadline(cache, 0), &why);
    ckiti_stale_written(function, name, st, &why);
}

void ckiti_stale_touch(const ckit_function *function, ckit_slice key, uint64_t ttl_ms) {
    ckit_cache *cache = function->cache;
    uint64_t    life_ms = kept_ms(function, ttl_ms);
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_buf    name;
    if (life_ms == 0) {
        return;
    }
    if (ckiti_stale_name(cache, key, &name) == CKIT_OK) {
        ckit_status st =
            cache->ops->touch(cache->store, ckit_buf_slice(&name), life_ms, ckiti_store_deadline(cache, 0), &why);
        if (st != CKIT_OK && st != CKIT_MISS) {
            ckiti_store_failed(cache, "touch", key, &why);
        }
    }
    ckit_buf_fini(&name);
}

ckit_status ckiti_stale_read(const ckit_function *function, ckit_slice name, ckit_buf *stored, uint64_t *left_ms) {
    ckit_cache *cache = function->cache;
    uint64_t    life_ms = CKIT_LIFE_UNKNOWN;
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status got = cache->ops->get(cache->store, name, ckiti_store_deadline(cache, 0), stored, &life_ms, &why);
    return ckiti_stale_judge(function, name, got, life_ms, &why, left_ms);
}

ckit_status ckiti_stale_judge(const ckit_function *function, ckit_slice name, ckit_status got, uint64_t life_ms,
                              const ckit_error *why, uint64_t *left_ms) {
    if (got != CKIT_OK && got != CKIT_MISS) {
        ckiti_store_failed(function->cache, "get", name, why);
    }
    if (got != CKIT_OK || (life_ms != CKIT_LIFE_UNKNOWN && life_ms > function->keep_ms + COARSE_MS)) {
        return CKIT_MISS;
    }
    *left_ms = life_ms < function->keep_ms ? life_ms : function->keep_ms;
    return CKIT_OK;
}

ckit_status ckiti_stale_remove(ckit_cache *cache, ckit_slice key, uint32_t timeout_ms, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_buf    name;
    ckit_status st = ckiti_stale_name(cache, key, &name);
    if (st != CKIT_OK) {
        ckit_fail(&why, st, "cache", "no memory for the name of an entry");
    } else {
        st = cache->ops->remove(cache->store, ckit_buf_slice(&name), ckiti_store_deadline(cache, timeout_ms), &why);
    }
    ckit_buf_fini(&name);
    if (st != CKIT_OK && st != CKIT_MISS) {
        ckiti_store_failed(cache, "remove", key, &why);
        if (err != NULL) {
            *err = why;
        }
    }
    return st;
}

void ckiti_stale_missed(ckit_cache *cache, ckit_slice key) {
    ckit_buf name;
    if (ckiti_stale_name(cache, key, &name) == CKIT_OK) {
        ckiti_replay_missed(cache, ckit_buf_slice(&name), false);
    } else { /* no memory to say which */
        const ckit_scope everything = {.kind = CKIT_SCOPE_ALL};
        ckiti_replay_missed_scope(cache, &everything, false);
    }
    ckit_buf_fini(&name);
}
