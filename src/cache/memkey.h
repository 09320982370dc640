/* cache/memkey.h - the name of an entry in the memory tier: the function's number, then the packed arguments (or the
 * key as given). Nothing is hashed to text on the way to a hit. */
#ifndef CKITI_CACHE_MEMKEY_H
#define CKITI_CACHE_MEMKEY_H

#include "base/hash.h"
#include "memory/l1.h"

#include <cachekit/buf.h>

#define CKITI_MEMKEY_PREFIX 5u /* the number and a mark */

typedef struct ckiti_memkey {
    size_t  len;
    uint8_t bytes[CKITI_L1_MAX_KEY_BYTES];
} ckiti_memkey;

static inline ckit_slice ckiti_memkey_slice(const ckiti_memkey *key) { return ckit_slice_of(key->bytes, key->len); }

/* A name that was made before. */
static inline void ckiti_memkey_copy(ckiti_memkey *key, ckit_slice name) {
    key->len = name.len;
    memcpy(key->bytes, name.ptr, name.len);
}

static inline uint32_t ckiti_memkey_function(ckit_slice key) {
    uint32_t id = 0;
    if (key.len >= sizeof id) {
        memcpy(&id, key.ptr, sizeof id);
    }
    return id;
}

/* The mark: whether all of the name follows, or its hash. */
enum { CKITI_MEMKEY_WHOLE = 0, CKITI_MEMKEY_HASHED = 1 };

static inline void ckiti_memkey_begin(uint8_t *at, uint32_t function_id, uint8_t mark) {
    memcpy(at, &function_id, sizeof function_id);
    at[sizeof function_id] = mark;
}

/* Writes only the bytes that are used. What is too long stands there by its BLAKE2b hash, told apart by the mark. */
static inline void ckiti_memkey_make(ckiti_memkey *key, uint32_t function_id, ckit_slice name) {
    if (name.len <= CKITI_L1_MAX_KEY_BYTES - CKITI_MEMKEY_PREFIX) {
        ckiti_memkey_begin(key->bytes, function_id, CKITI_MEMKEY_WHOLE);
        if (name.len > 0) {
            memcpy(key->bytes + CKITI_MEMKEY_PREFIX, name.ptr, name.len);
        }
        key->len = CKITI_MEMKEY_PREFIX + name.len;
    } else {
        ckiti_memkey_begin(key->bytes, function_id, CKITI_MEMKEY_HASHED);
        ckiti_blake2b(key->bytes + CKITI_MEMKEY_PREFIX, 32, name);
        key->len = CKITI_MEMKEY_PREFIX + 32;
    }
}

#endif
