/* Sealed values that a cache without a key meets in its store. */
#include "base/hash.h"
#include "cache/core.h"
#include "cache/sealing.h"

#include <cachekit/frame.h>

static const char where[] = "sealing";

#define LOCKED_MAX 65536u /* keys of sealed values without a key that are remembered */
#define LOCKED_NEAR 16u   /* so many places beginning with a hash's own are looked at */

/* Keys by their hashes. What nobody has met takes no memory: these are zero pages. */
typedef struct ckiti_locked_keys {
    _Atomic uint64_t hashes[LOCKED_MAX];    /* 0: free */
    _Atomic uint64_t full[LOCKED_MAX / 64]; /* a bit for each place: a key whose own it is has found no room */
} ckiti_locked_keys;

bool ckiti_value_is_locked(const ckit_cache *cache, ckit_slice stored) {
    ckit_buf   scratch = {.alloc = cache->alloc};
    ckit_frame frame;
    bool       sealed = cache->sealing.ring == NULL && ckiti_looks_framed(stored) &&
                  ckit_frame_parse(stored, &frame, &scratch, NULL) == CKIT_OK && frame.encrypted;
    ckit_buf_fini(&scratch);
    return sealed;
}

static ckiti_locked_keys *locked_keys(ckit_cache *cache) {
    ckiti_locked_keys *keys = atomic_load_explicit(&cache->sealing.locked, memory_order_acquire);
    if (keys == NULL) {
        ckiti_locked_keys *fresh = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *fresh);
        if (fresh != NULL && atomic_compare_exchange_strong(&cache->sealing.locked, &keys, fresh)) {
            return fresh;
        }
        ckiti_free(cache->alloc, fresh, sizeof *fresh);
    }
    return keys;
}

static uint64_t hash_of(const ckit_cache *cache, ckit_slice key) { return ckiti_xxh3(key, cache->seed) | 1; }

static size_t own_place(uint64_t hash) { return (size_t)(hash >> 1) % LOCKED_MAX; }

/* Where `wanted` stands, a hash or 0 for a free place, near a hash's own place; NULL: nowhere. */
static _Atomic uint64_t *place_of(ckiti_locked_keys *keys, uint64_t hash, uint64_t wanted) {
    for (size_t i = 0; i < LOCKED_NEAR; i++) {
        _Atomic uint64_t *place = &keys->hashes[(own_place(hash) + i) % LOCKED_MAX];
        if (atomic_load_explicit(place, memory_order_relaxed) == wanted) {
            return place;
        }
    }
    return NULL;
}

static void remember(ckit_cache *cache, ckit_slice key) {
    ckiti_locked_keys *keys = locked_keys(cache);
    const uint64_t     hash = hash_of(cache, key);
    _Atomic uint64_t  *place;
    uint64_t           nothing;
    if (keys == NULL) {
        atomic_store_explicit(&cache->sealing.forgets, true, memory_order_relaxed);
        return;
    }
    do {
        nothing = 0;
        if (place_of(keys, hash, hash) != NULL) {
            return;
        }
        place = place_of(keys, hash, 0);
    } while (place != NULL && !atomic_compare_exchange_strong(place, &nothing, hash));
    if (place == NULL) {
        atomic_fetch_or_explicit(&keys->full[own_place(hash) / 64], UINT64_C(1) << own_place(hash) % 64,
                                 memory_order_relaxed);
    }
}

#define KEY_ADVICE "CACHEKIT_MASTER_KEY as the program that wrote it does, or remove the entry"

ckit_status ckiti_locked_met(ckit_cache *cache, ckit_slice key, ckit_error *err) {
    ckiti_sealing *s = &cache->sealing;
    if (atomic_fetch_add_explicit(&s->without_key, 1, memory_order_relaxed) == 0) {
        ckiti_log(cache->log, CKIT_LOG_WARNING, where,
                  "the store has an encrypted value, and there is no key here: it stays, and %s. Set " KEY_ADVICE
                  " (told once)",
                  s->fail_closed ? "calls for it fail, because fail_closed is on"
                                 : "what is computed instead is kept in memory alone");
    }
    remember(cache, key);
    if (s->fail_closed) {
        return ckit_fail(err, CKIT_E_AUTH_TAG, where,
                         "the value is encrypted, and there is no key here: set " KEY_ADVICE);
    }
    return CKIT_MISS;
}

static _Atomic uint64_t *remembered(const ckit_cache *cache, ckit_slice key) {
    ckiti_locked_keys *keys = atomic_load_explicit(&cache->sealing.locked, memory_order_acquire);
    if (keys == NULL) {
        return NULL;
    }
    const uint64_t hash = hash_of(cache, key);
    return place_of(keys, hash, hash);
}

void ckiti_locked_gone(ckit_cache *cache, ckit_slice key) {
    _Atomic uint64_t *place = remembered(cache, key);
    if (place != NULL) { /* another key may have got the place meanwhile */
        uint64_t hash = hash_of(cache, key);
        (void)atomic_compare_exchange_strong(place, &hash, 0);
    }
}

bool ckiti_is_locked(const ckit_cache *cache, ckit_slice key) { return remembered(cache, key) != NULL; }

bool ckiti_locked_forgets(const ckit_cache *cache, ckit_slice key) {
    ckiti_locked_keys *keys = atomic_load_explicit(&cache->sealing.locked, memory_order_acquire);
    if (keys == NULL) {
        return atomic_load_explicit(&cache->sealing.forgets, memory_order_relaxed);
    }
    const size_t   place = own_place(hash_of(cache, key));
    const uint64_t full = atomic_load_explicit(&keys->full[place / 64], memory_order_relaxed);
    return (full >> place % 64 & 1) != 0 || atomic_load_explicit(&cache->sealing.forgets, memory_order_relaxed);
}

void ckiti_locked_close(ckit_cache *cache) {
    ckiti_free(cache->alloc, atomic_load(&cache->sealing.locked), sizeof(ckiti_locked_keys));
}
