/* cache/stale.h - what may be served past its life, as the store keeps it: a second entry, named KEY:stale, that
 * outlives the key's own. It is written after it, so that no value is served late that was never stored, and removed
 * before it.
 *
 * Everything here may wait for the store. */
#ifndef CKITI_CACHE_STALE_H
#define CKITI_CACHE_STALE_H

#include "cache/core.h"

#define CKITI_STALE_SUFFIX ":stale"

/* *name holds the second entry's name; to be freed with ckit_buf_fini also after a failure. */
ckit_status ckiti_stale_name(const ckit_cache *cache, ckit_slice key, ckit_buf *name);
/* A value with this life has a second entry: not one without an end, nor of a function that serves nothing late. */
bool ckiti_stale_is_kept(const ckit_function *function, uint64_t ttl_ms);
/* The key has got this value for `ttl_ms`: keeps it under the name of the second entry as long as it may be served. A
 * failure is counted and logged; the key's own entry is there all the same. */
void ckiti_stale_write(const ckit_function *function, ckit_slice name, ckit_slice stored, uint64_t ttl_ms);
/* The same for somebody who writes by himself: the entry's lifetime and names, and what came of it. */
ckit_entry_info ckiti_stale_info(const ckit_function *function, uint64_t ttl_ms);
void ckiti_stale_written(const ckit_function *function, ckit_slice name, ckit_status st, const ckit_error *why);
/* The key has got a new life of `ttl_ms`. */
void ckiti_stale_touch(const ckit_function *function, ckit_slice key, uint64_t ttl_ms);
/* The key was a miss: appends what has the name of its second entry to `stored`, and tells how long it may be served.
 * CKIT_MISS when there is nothing, when the store fails (which is counted and logged), and when the key's life was not
 * over yet: then somebody has removed it who does not know of the second entry. */
ckit_status ckiti_stale_read(const ckit_function *function, ckit_slice name, ckit_buf *stored, uint64_t *left_ms);
/* The same for somebody who has read it by himself: what the store's answer `got` and the life that it told mean. `why`
 * is the story of a failure. */
ckit_status ckiti_stale_judge(const ckit_function *function, ckit_slice name, ckit_status got, uint64_t life_ms,
                              const ckit_error *why, uint64_t *left_ms);
/* As the store's `remove`; a failure is counted, logged and told. */
ckit_status ckiti_stale_remove(ckit_cache *cache, ckit_slice key, uint32_t timeout_ms, ckit_error *err);
/* The store has not taken the key's new value: its second entry holds an older one. Does not wait. */
void ckiti_stale_missed(ckit_cache *cache, ckit_slice key);

#endif
