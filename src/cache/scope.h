/* cache/scope.h - removing: one key from both tiers, or everything of a scope. */
#ifndef CKITI_CACHE_SCOPE_H
#define CKITI_CACHE_SCOPE_H

#include "cache/core.h"
#include "cache/memkey.h"

/* Removes one entry from memory (where it stands under `memkey`) and from the store (under `key`; not asked when
 * empty). CKIT_OK when there was one in either, a stale one included, CKIT_MISS, or the store's failure (memory has
 * forgotten it all the same). What is being read or computed for it meanwhile is not kept. */
ckit_status ckiti_remove_everywhere(ckit_cache *cache, ckiti_namespace *ns, ckit_slice memkey, uint64_t hash,
                                    ckit_slice key, uint32_t timeout_ms, ckit_error *err);

/* The key of an entry says nothing about its namespace, so the memory of others may hold it too, when it was read
 * there. Forgets it in all but `ns`, with the stripe's lock held. (All tiers of a cache hash alike.) */
void ckiti_forget_elsewhere(ckit_cache *cache, const ckiti_namespace *ns, ckit_slice memkey, uint64_t hash);

/* Functions whose calls have custom keys share entries of the store when they name the same text in one namespace. One
 * of them has changed or removed the entry of the call `memkey`: the others forget it in memory. True when one of them
 * could still have served it. */
bool ckiti_forget_namesakes(const ckit_function *function, ckit_slice memkey);

/* The store tells that everything of the scope has changed: memory's part of an invalidation. A function's name is as
 * keys hold it. */
void ckiti_forget_scope_as_told(ckit_cache *cache, const ckit_scope *scope);
/* Calls `each` with the keys that calls with this hash of their arguments have, of the functions of that namespace (of
 * all when it is empty). Without memory to make a key the function is forgotten instead. */
void ckiti_each_key_of_hash(ckit_cache *cache, ckit_slice namespace_name, ckit_slice hash,
                            void (*each)(ckit_cache *cache, ckit_slice key));

/* The key is that of a function's call: an automatic one, a custom one of a namespace in which functions have such, or
 * that of a function in interop mode. */
bool ckiti_key_is_of_call(ckit_cache *cache, ckit_slice key);

/* The key of a function's call was changed or removed by its text. Memory knows calls by their arguments and cannot
 * find this one, so it forgets the whole function (or namespace, or everything, where a shortened key does not tell).
 * With a custom key it forgets just the call. */
void ckiti_forget_call_by_key(ckit_cache *cache, ckit_slice key);

#endif
