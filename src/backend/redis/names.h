/* names.h - what things are called on the server. redis.h shows the layout. */
#ifndef CKITI_REDIS_NAMES_H
#define CKITI_REDIS_NAMES_H

#include "resp.h"

#define CKITI_REDIS_HASH_DIGITS 32u
#define CKITI_REDIS_INDEX_MARK "ck:idx:"

/* A name in parts, so that it is put together only in the command. */
typedef struct ckiti_redis_name {
    ckit_slice parts[4];
    size_t     count;
} ckiti_redis_name;

ckiti_redis_name ckiti_redis_entry_name(ckit_slice prefix, ckit_slice key);
ckiti_redis_name ckiti_redis_lock_name(ckit_slice prefix, ckit_slice key);
ckiti_redis_name ckiti_redis_fence_name(ckit_slice prefix);
ckiti_redis_name ckiti_redis_owner_name(ckit_slice prefix, ckit_slice key);
/* `hash` of the namespace. */
ckiti_redis_name ckiti_redis_index_name(ckit_slice prefix, ckit_slice hash);

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
