/* cache/copies.h - which entries of one memory tier are copies of which key of the store, both by their hashes.
 *
 * Memory knows a call by its arguments; a message about a change names the store's key. So whoever puts a copy into
 * memory adds it here first, and a message drops what stands here. Groups of sets of sixteen: a full set first forgets
 * copies that memory has evicted meanwhile, then the group grows while its part of the tier's budget allows, and at
 * last a copy is given up, which takes the entry out of memory too: there is never a copy that a message would not
 * find. The other way round a row may outlive its entry, and dropping by hash may hit an entry with the same hash: a
 * read more each.
 *
 * A group is used with the lock held that guards the keys of it (the caller's; one for each group). Bytes count against
 * the tier's budget. */
#ifndef CKITI_CACHE_COPIES_H
#define CKITI_CACHE_COPIES_H

#include "memory/l1.h"

#include <cachekit/types.h>
#include <stdbool.h>

#define CKITI_COPY_GROUPS 32u
#define CKITI_COPY_WAYS 16u

typedef struct ckiti_copies ckiti_copies;

static inline unsigned ckiti_copy_group(uint64_t key_hash) { return (unsigned)(key_hash % CKITI_COPY_GROUPS); }

/* For the tier `l1` of `max_bytes`, a quarter of which it may take. NULL without memory. */
ckiti_copies *ckiti_copies_new(ckiti_l1 *l1, uint64_t max_bytes, const ckit_alloc *alloc);
/* Before the tier ends. Accepts NULL. */
void ckiti_copies_free(ckiti_copies *copies);

/* The entry of this hash is about to become a copy of the key with that one. False without memory: it must not. */
bool ckiti_copies_add(ckiti_copies *copies, uint64_t key_hash, uint64_t entry_hash);
/* Removes all copies of the key from memory and tells how many there were. */
size_t ckiti_copies_drop(ckiti_copies *copies, uint64_t key_hash);

#endif
