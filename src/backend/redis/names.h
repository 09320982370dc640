/* names.h - what things are called on the server. redis.h shows the layout. */
#ifndef CKITI_REDIS_NAMES_H
#define CKITI_REDIS_NAMES_H

#include "resp.h"
#include "slot.h"

#define CKITI_REDIS_HASH_DIGITS 32u

#define CKITI_REDIS_INDEX_ROOM (1024u + 32u) /* the longest prefix, and a mark */

/* A name in parts, so that it is put together only in the command. */
typedef struct ckiti_redis_name {
    ckit_slice parts[5];
    size_t     count;
} ckiti_redis_name;

/* How things are named. */
typedef struct ckiti_redis_naming {
    ckit_slice prefix;
    const ckiti_redis_tag
        *tags; /* by slot: what stands beside an entry must be in the same one. NULL: there are none */
} ckiti_redis_naming;

ckiti_redis_name ckiti_redis_entry_name(ckit_slice prefix, ckit_slice key);
ckiti_redis_name ckiti_redis_lock_name(const ckiti_redis_naming *n, ckit_slice key);
ckiti_redis_name ckiti_redis_fence_name(const ckiti_redis_naming *n, ckit_slice key);
ckiti_redis_name ckiti_redis_owner_name(const ckiti_redis_naming *n, ckit_slice key);
/* The index that an entry of the namespace with this hash is in; its name ends with the hash. */
ckiti_redis_name ckiti_redis_index_name(const ckiti_redis_naming *n, ckit_slice key, ckit_slice hash);
/* That name up to the hash, for scripts that find the hash in a record; `out` has CKITI_REDIS_INDEX_ROOM bytes. */
ckit_slice ckiti_redis_index_beginning(const ckiti_redis_naming *n, ckit_slice key, char *out);
/* Appends a pattern of SCAN for the indexes of that namespace. */
ckit_status ckiti_redis_index_pattern(const ckiti_redis_naming *n, ckit_buf *pattern, ckit_slice hash);
/* A name on the server is that of an index. */
bool ckiti_redis_is_index(const ckiti_redis_naming *n, ckit_slice name);

uint16_t ckiti_redis_slot_of(ckit_slice prefix, ckit_slice key);

/* The digits that stand for a namespace. */
void ckiti_redis_namespace_hash(char out[CKITI_REDIS_HASH_DIGITS], ckit_slice namespace_name);

/* The key of the entry that the server has under `name`; false when it is no entry's name: another prefix, or
 * bookkeeping. */
bool ckiti_redis_key_of(ckit_slice prefix, ckit_slice name, ckit_slice *key);

/* Writes the name as one argument. */
static inline void ckiti_redis_put_name(ckiti_resp_writer *w, const ckiti_redis_name *name) {
    ckiti_resp_joined(w, name->parts, name->count);
}

/* Appends `text` to a pattern of SCAN, so that it means itself. */
ckit_status ckiti_redis_escape(ckit_buf *pattern, ckit_slice text);

#endif
