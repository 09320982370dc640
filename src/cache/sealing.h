/* cache/sealing.h - values that only the holders of a key can read: sealed on the way to store and memory, opened on
 * the way back, and what becomes of those that do not open.
 *
 * Whether a function's values are sealed is decided when it is made, and by configuration alone: what stored bytes
 * claim never opens the way around it. What is in the clear here lies in buffers that are wiped when they are given
 * back. */
#ifndef CKITI_CACHE_SEALING_H
#define CKITI_CACHE_SEALING_H

#include <cachekit/cache.h>
#include <cachekit/seal.h>
#include <stdatomic.h>
#include <string.h>

/* Why a value did not open. */
enum { CKITI_DECRYPT_AUTH, CKITI_DECRYPT_SUSPICIOUS, CKITI_DECRYPT_CORRUPT, CKITI_DECRYPT_REASONS };

/* A cache's part. */
typedef struct ckiti_sealing {
    ckit_keyring                       *ring; /* held. NULL: nothing is sealed, and sealed values are not opened */
    char                               *deployment;
    size_t                              deployment_len;
    bool                                deployment_only; /* what others have sealed is not opened */
    bool                                fail_closed;
    bool                                entries; /* values by key are sealed */
    bool                                wanted;  /* functions seal without asking */
    ckit_alloc                          wiping;  /* the cache's allocator; what is given back has been wiped */
    _Atomic uint64_t                   *drifted; /* hashes of keys whose unexpected encryption has been told */
    _Atomic uint64_t                    failures[CKITI_DECRYPT_REASONS][2]; /* by reason and tier */
    _Atomic uint64_t                    drift;
    _Atomic uint64_t                    not_sealed;
    _Atomic uint64_t                    without_key; /* sealed values that were met where there is no ring */
    _Atomic(struct ckiti_locked_keys *) locked;      /* their keys; made with the first of them */
    _Atomic bool                        forgets;     /* there was no memory for them */
} ckiti_sealing;

/* From the options of a cache that has its allocator and store. CKIT_E_NO_MASTER_KEY, CKIT_E_CONFIGURATION,
 * CKIT_E_NO_MEMORY; end it in every case. */
ckit_status ckiti_sealing_open(ckit_cache *cache, ckit_error *err);
void        ckiti_sealing_close(ckit_cache *cache);

/* What the bytes in the clear are: a document; the caller's own; one document of interop mode, which is sealed as it
 * is. */
typedef enum ckiti_form { CKITI_FORM_DOCUMENT, CKITI_FORM_RAW, CKITI_FORM_INTEROP } ckiti_form;

/* Whose value, and in what form. */
typedef struct ckiti_sealed_value {
    ckit_cache *cache;
    ckit_slice  tenant;     /* empty: the cache's deployment */
    ckit_slice  key;        /* without the tenant in front */
    ckit_slice  stored_key; /* what the store calls it */
    ckiti_form  form;
    bool        integrity; /* of a document */
    int         compression_level;
} ckiti_sealed_value;

typedef enum ckiti_tier { CKITI_TIER_L1 = 0, CKITI_TIER_L2 = 1 } ckiti_tier;

/* The bytes begin like a frame. */
static inline bool ckiti_looks_framed(ckit_slice bytes) {
    return bytes.len >= 3 && memcmp(bytes.ptr, "CK\x03", 3) == 0;
}

/* Appends what store and memory are to keep. A "CK" frame in the clear becomes an encrypted one, a document gets one,
 * and other bytes are sealed as they are, as interop values. CKIT_E_TOO_LARGE beyond the cache's limit, and as
 * ckit_seal. */
ckit_status ckiti_value_seal(const ckiti_sealed_value *value, ckit_slice plain, ckit_buf *out, ckit_error *err);

/* Appends what was sealed to `plain`. CKIT_OK; CKIT_MISS when it does not open, and has been counted, logged and, in
 * the store, removed, each where that is right; a failure when that is for the caller to see: CKIT_E_AUTH_TAG when
 * failing closed, or a fault of the configuration. From memory the entry is removed by whoever asked, with every answer
 * but CKIT_OK. */
ckit_status ckiti_value_open(const ckiti_sealed_value *value, ckiti_tier tier, ckit_slice stored, ckit_buf *plain,
                             ckit_error *err);

/* Encryption is off here, and the store's value is sealed: opens it all the same if the ring can, counts it, and warns
 * once for a key. CKIT_OK or CKIT_MISS. */
ckit_status ckiti_value_open_unexpected(ckit_cache *cache, ckit_slice key, bool integrity, ckit_slice stored,
                                        ckit_buf *document);

/* ---- sealed values where there is no key (locked.c) --------------------------------------------------------------- *
 *
 * Somebody who shares the store seals what this cache would keep in the clear. His value stays, and what is computed
 * here instead is kept in memory alone. */

/* The bytes are a value that somebody has sealed, and nothing here could open it. */
bool ckiti_value_is_locked(const ckit_cache *cache, ckit_slice stored);
/* The store has such a value under this key: counted, told once, and remembered. CKIT_MISS; CKIT_E_AUTH_TAG, for the
 * caller to see, when failing closed. */
ckit_status ckiti_locked_met(ckit_cache *cache, ckit_slice key, ckit_error *err);
/* A look into the store has found something else under this key, or nothing. Nearly free where nothing is
 * remembered. */
void ckiti_locked_gone(ckit_cache *cache, ckit_slice key);
/* Whether the store is to be left as it is under this key. */
bool ckiti_is_locked(const ckit_cache *cache, ckit_slice key);
/* Whether this key may be one of those that were met and found no room: then only the store can tell. */
bool ckiti_locked_forgets(const ckit_cache *cache, ckit_slice key);
void ckiti_locked_close(ckit_cache *cache);

/* Whether values of interop mode may be sealed here: others can open them when they name the same deployment.
 * CKIT_E_CONFIGURATION. */
ckit_status ckiti_sealing_check_interop(const ckit_cache *cache, ckit_error *err);

/* The result could not be sealed: counted and logged. It is kept nowhere. */
void ckiti_not_sealed(ckit_cache *cache, ckit_slice key, const ckit_error *why);

/* Moves bytes in the clear into an empty value, which wipes them when it is given back; the cache may be closed before
 * that. */
void ckiti_value_take_secret(ckit_cache *cache, ckit_value *value, ckit_buf *buf);

#endif
