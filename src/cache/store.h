/* cache/store.h - what every use of the store (L2) shares. */
#ifndef CKITI_CACHE_STORE_H
#define CKITI_CACHE_STORE_H

#include "cache/core.h"

/* The deadline of one operation; `timeout_ms` 0 = the cache's. */
static inline uint64_t ckiti_store_deadline(const ckit_cache *cache, uint32_t timeout_ms) {
    return ckiti_time_after(ckiti_cache_now(cache), timeout_ms != 0 ? timeout_ms : cache->options.store_timeout_ms);
}

/* What memory may keep of a value with this remaining life in the store. */
static inline uint64_t ckiti_life_in_memory(uint64_t life_ms) {
    return life_ms == CKIT_LIFE_UNKNOWN ? CKITI_UNKNOWN_LIFE_MS : life_ms;
}

/* Interop mode: keys stay as they are in the store, and sealed values are for all who name the deployment.
 * CKIT_E_CONFIGURATION where it puts something in front of them, or no deployment was named. */
ckit_status ckiti_interop_check(const ckit_cache *cache, bool sealed, ckit_error *err);
/* ckiti_store_open for a plain document of interop mode, whose bytes move from `stored` to `document` (empty
 * before). */
ckit_status ckiti_store_open_interop(ckit_cache *cache, ckit_slice key, ckit_buf *stored, ckit_buf *document);

/* Counts a failure of the store and tells the log, at most once a second; the key appears as a hash. What
 * an open circuit refused is no failure. */
void ckiti_store_failed(ckit_cache *cache, const char *operation, ckit_slice key, const ckit_error *error);

/* Nobody can read what the store has under this key, for the reason in `why`: counted, logged, and removed when
 * asked. */
void ckiti_store_unreadable(ckit_cache *cache, ckit_slice key, const ckit_error *why, bool remove);
/* The same of a value that the caller has rejected, who tells why by himself. */
void ckiti_store_rejected(ckit_cache *cache, ckit_slice key, const ckit_error *why, bool remove);

/* Opens a stored value: CKIT_OK with its document appended, or CKIT_MISS when it is damaged or somebody else's
 * (counted, logged, and removed from the store where that is right). `*locked` becomes true, and nothing else is done,
 * when it is sealed and there is no key: ckiti_locked_met (sealing.h) is the caller's to call. */
ckit_status ckiti_store_open(ckit_cache *cache, ckit_slice key, bool integrity, ckit_slice stored, ckit_buf *document,
                             bool *locked);

#endif
