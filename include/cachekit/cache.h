/* cachekit/cache.h - a two-tier cache: memory in front (L1), a store behind (L2).
 *
 * Reading order: ckit_cache_open (open.h), ckit_cache_set, ckit_cache_get, ckit_value_fini (value.h), ckit_cache_close.
 * To put a cache in front of a slow function read function.h.
 *
 * Every function on this page may be called from any thread, except ckit_cache_close. No lock is held while the store
 * works. After fork both processes go on using their copy. */
#ifndef CACHEKIT_CACHE_H
#define CACHEKIT_CACHE_H

#include <cachekit/error.h>
#include <cachekit/ext/backend.h>
#include <cachekit/guard.h>
#include <cachekit/seal.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ckit_cache ckit_cache;

/* ---- opening ---------------------------------------------------------------------------------------------- */

/* Zero means default everywhere. `alloc`, `clock` and what `log->self` points to must outlive the cache; texts, `log`
 * itself and `guard` are read while it is opened, and `keyring` is held. */
typedef struct ckit_cache_options {
    size_t            struct_size;
    const ckit_alloc *alloc;              /* default malloc */
    const ckit_clock *clock;              /* default the system's coarse monotonic clock */
    const ckit_log   *log;                /* default standard error, level from LOG_LEVEL */
    ckit_switch       l1;                 /* default on */
    uint64_t          l1_max_bytes;       /* of one namespace, bookkeeping included; default 100 MiB; at least 64 KiB */
    uint64_t          l1_total_max_bytes; /* of all namespaces of this cache; default 1 GiB */
    uint64_t          default_ttl_ms;     /* lifetime where none is given; default 3600 s; CKIT_TTL_NO_EXPIRY allowed */
    uint64_t          max_value_bytes;    /* largest stored value; default 100 MiB; up to 512 MiB */
    uint32_t          max_key_bytes;      /* largest key of get, set and so on; default 1024; up to 65536 */
    int               compression_level;  /* 1 (fast) .. 9 (small); default 6; CKIT_COMPRESSION_OFF (envelope.h) */
    ckit_switch       integrity;          /* checksum and compression of stored values; default on */
    uint32_t          store_timeout_ms;   /* longest single wait for the store; default 5000 */
    /* longest wait for another call that computes the same key; default 60,000; afterwards the caller computes it
     * too */
    uint32_t    flight_wait_ms;
    ckit_switch lock; /* take the store's lock before computing, where it has one; default on */
    /* how long such a lock lives, default 30,000; it is renewed while the function runs, so this is the wait for a
     * holder that has died */
    uint32_t lock_lease_ms;
    uint32_t lock_wait_ms;      /* longest wait for it; default 5000; afterwards compute without it */
    uint32_t sweep_interval_ms; /* how often expired entries are freed in the background; default 30,000 */
    uint32_t workers;           /* most background threads (started when needed); default 4; up to 64 */
    uint32_t queue_max;         /* most background jobs waiting; default 1024 */
    /* copies in memory die when another process changes the entry, where the store can tell (`watch`, ext/backend.h);
     * default on. Off: they live out their remaining life */
    ckit_switch coherence;
    /* whose entries, in a Redis store that ckit_cache_open opens: their keys begin with "t:TENANT:". NULL: "default"
     * where the environment chose the store (open.h), nobody's where a URL did. One cache for each tenant: memory is
     * kept apart too */
    const char *tenant;
    /* the store may not be there: one warning says so, the first time that it fails, then memory serves alone and the
     * store is tried again quietly. Default off; on where ckit_cache_open finds nothing configured */
    ckit_switch store_optional;
    /* what stands between cache and store (guard.h); read while the cache is opened, not kept. NULL: the defaults in
     * ckit_cache_open and ckit_cache_open_over, no guard in ckit_cache_new. Nothing for memory alone */
    const ckit_guard_options *guard;
    /* keys for sealing values (seal.h). The cache holds the ring, which may be closed at once. NULL: none in
     * ckit_cache_new; those of the environment in ckit_cache_open */
    ckit_keyring *keyring;
    /* values are sealed, in the store and in memory. Default: those of a cache with a store are, when the ring can
     * seal. On: also those of memory alone; without a key, or with `integrity` off, the cache does not open
     * (CKIT_E_NO_MASTER_KEY, CKIT_E_CONFIGURATION). Off: only what functions ask for */
    ckit_switch encryption;
    /* whose values: the tenant that they are sealed for. 1 to 1024 bytes of UTF-8, with other SDKs a UUID in lower
     * case. NULL: "default" in ckit_cache_new, this user's own in ckit_cache_open. Without a key this and the next one
     * count for nothing, which the log says */
    const char *deployment_id;
    /* what was sealed for others does not open, though the ring could. Default on when deployment_id is given */
    ckit_switch deployment_only;
    /* what fails authentication is an error of the call (CKIT_E_AUTH_TAG), and stays in the store as evidence. Default
     * off: it is removed, counted, and a miss. A sealed value that is met without a key stays in both cases: an error
     * of the call, or a miss */
    ckit_switch fail_closed;
} ckit_cache_options;
#define CKIT_CACHE_OPTIONS_INIT CKIT_SIZED_INIT(ckit_cache_options)
CKIT_API void ckit_cache_options_init(ckit_cache_options *options, size_t struct_size);

/* Opens a cache over `backend`, or over memory alone when it is NULL. The backend is the cache's from now on, also when
 * this fails. Waits for nothing. Most programs use ckit_cache_open (open.h), which takes a URL.
 *
 * CKIT_E_CONFIGURATION  an option out of its range, or two that contradict each other; the text names them
 * CKIT_E_NO_MASTER_KEY  `encryption` is on, and there is no key that seals
 * CKIT_E_MISUSE (struct_size is 0), CKIT_E_NO_MEMORY */
CKIT_API ckit_status ckit_cache_new(const ckit_cache_options *options, ckit_backend *backend, ckit_cache **out,
                                    ckit_error *err);

/* Ends background work (waits for a running function, drops waiting jobs), tries once more, for a second at most, to
 * remove what the store has failed to replace or remove, closes the store and frees everything. Functions, polls and
 * operations of this cache must have been closed before; values may outlive it. Accepts NULL. */
CKIT_API void ckit_cache_close(ckit_cache *cache);

/* ---- entries ---------------------------------------------------------------------------------------------- */

/* What a value is, and so what is stored. */
typedef enum ckit_encoding {
    CKIT_BYTES = 0,    /* any bytes: stored as a document that holds one byte string, compressed and checksummed; other
                          languages read it as bytes. A stored text reads as its bytes */
    CKIT_DOCUMENT = 1, /* one MessagePack document (msgpack.h, document.h), compressed and checksummed */
    CKIT_RAW = 2,      /* stored exactly as given: no frame, no compression, no checksum */
    CKIT_INTEROP = 3 /* one MessagePack document as all SDKs share it (interop.h): stored in its canonical form, without
                          frame, compression and checksum. Keys have the form of ckit_interop_key, else CKIT_E_MISUSE.
                          What is outside of the data model is CKIT_E_VALUE_TYPE */
} ckit_encoding;

typedef struct ckit_entry_options {
    size_t        struct_size;
    ckit_encoding encoding;
    uint64_t      ttl_ms; /* CKIT_TTL_*; 0 = the cache's default */
    /* whose memory it lives in and what invalidates it; NULL = none. Not part of the key: give a key the same
     * namespace in every call, or invalidating the one misses what was read under the other */
    const char *namespace_name;
    uint32_t    timeout_ms; /* longest wait for the store; 0 = the cache's */
} ckit_entry_options;
#define CKIT_ENTRY_OPTIONS_INIT CKIT_SIZED_INIT(ckit_entry_options)
CKIT_API void ckit_entry_options_init(ckit_entry_options *options, size_t struct_size);

/* Each of the following waits for the store as long as `timeout_ms` says, for a cache without one not at all, and
 * besides its own answers gives
 *   CKIT_E_MISUSE         an empty key, an encoding or a lifetime that does not exist, or a key that is none of interop
 *                         mode
 *   CKIT_E_TOO_LARGE      a key above max_key_bytes, or more than 4096 namespaces in one cache
 *   CKIT_E_CONFIGURATION  interop mode in a cache that seals without a deployment_id that others can name, or over a
 *                         store that puts something in front of keys
 *   CKIT_E_NO_MEMORY */

/* Looks `key` up in memory, then in the store, and fills memory on the way back with the remaining life.
 *
 * CKIT_OK    *out holds the value; give it back with ckit_value_fini.
 * CKIT_MISS  no entry. An entry that cannot be decoded is removed, counted and a miss. So is one that this cache has
 *            failed to replace or remove in the store, until that has been made up for.
 * CKIT_E_VALUE_TYPE  the entry holds something else than `encoding` asks for (its bytes stay).
 * CKIT_E_AUTH_TAG    it is sealed and does not open, and `fail_closed` is on.
 * Failures of the store come back as they are: the caller decides (function.h decides by itself).
 *
 * Keys are any bytes, used verbatim, 1 to max_key_bytes. `options` may be NULL. `out` is empty (CKIT_VALUE_INIT) or
 * holds an earlier value, which is given back first.
 *
 * Only memory can tell raw entries from others: bytes from a store that were stored raw are a miss for the other
 * encodings, and CKIT_RAW gives the stored form of any entry. */
CKIT_API ckit_status ckit_cache_get(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                    ckit_value *out, ckit_error *err);

/* Stores a value in both tiers, replacing value and lifetime. When the store fails, the status says so and memory still
 * serves the value to this process; what the store has under the key is removed from it when it is back.
 * CKIT_TTL_DO_NOT_STORE stores nothing, removes an older entry and is CKIT_OK.
 * CKIT_E_MISUSE: with CKIT_DOCUMENT, `value` is not exactly one document.
 * CKIT_E_VALUE_TYPE: with CKIT_INTEROP, it is outside of the data model.
 * CKIT_E_TOO_LARGE: larger than the limit; nothing is stored and an older entry of the key is removed. */
CKIT_API ckit_status ckit_cache_set(ckit_cache *cache, ckit_slice key, ckit_slice value,
                                    const ckit_entry_options *options, ckit_error *err);

/* Removes the entry from both tiers. CKIT_OK when there was one in either, else CKIT_MISS. When the store fails, the
 * status says so, this cache no longer reads the entry, and removes it from the store when that is back. A value that
 * is being computed or read for this key meanwhile is not stored. */
CKIT_API ckit_status ckit_cache_delete(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                       ckit_error *err);

/* Is there a live entry? CKIT_OK or CKIT_MISS. Does not count as a use. */
CKIT_API ckit_status ckit_cache_exists(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                       ckit_error *err);

/* The remaining life: milliseconds, CKIT_LIFE_NO_EXPIRY, or CKIT_LIFE_UNKNOWN. CKIT_OK or CKIT_MISS. The file store
 * keeps whole seconds, rounded up, so it may tell up to a second more than was asked. */
CKIT_API ckit_status ckit_cache_ttl(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                    uint64_t *life_ms, ckit_error *err);

/* Gives a live entry the lifetime of `options` from now on, in both tiers. CKIT_OK or CKIT_MISS;
 * CKIT_E_UNSUPPORTED when the store cannot. CKIT_TTL_DO_NOT_STORE removes it, as ckit_cache_delete. */
CKIT_API ckit_status ckit_cache_touch(ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                                      ckit_error *err);

/* Many keys at once: one pass over memory and one batched read of the store for what is missing. out[i] and answers[i]
 * are what ckit_cache_get would have given. Returns CKIT_OK, or the failure of the whole batch's store read (answers
 * from memory are there all the same; the other answers hold the failure). Each of `keys`, `out` and `answers` has
 * `count` elements; what is wrong with one key is the answer for that key. */
CKIT_API ckit_status ckit_cache_get_many(ckit_cache *cache, const ckit_slice *keys, size_t count,
                                         const ckit_entry_options *options, ckit_value *out, ckit_status *answers,
                                         ckit_error *err);

/* ---- scopes ----------------------------------------------------------------------------------------------- */

/* A store that walks through its entries takes the time that takes: store_timeout_ms does not bound these two.
 * CKIT_E_MISUSE: a kind of scope that does not exist, or a function's without its name. */

/* Invalidates everything of a scope: memory at once, in constant time; then the store. Nothing that was being computed
 * or refreshed meanwhile comes back. `deleted` (may be NULL) tells what the store did. When the store fails, the status
 * says so, this cache reads nothing of the scope from it, and repeats the invalidation when the store is back (what it
 * refuses for good is not repeated). A store that cannot delete by scope gives CKIT_E_UNSUPPORTED after memory was
 * cleared. */
CKIT_API ckit_status ckit_cache_invalidate(ckit_cache *cache, const ckit_scope *scope, ckit_deleted *deleted,
                                           ckit_error *err);

/* Shows every live entry of the store that belongs to `scope` to `each`, in this thread; what `each` answers but
 * CKIT_OK ends it, and is returned. CKIT_E_UNSUPPORTED when the store cannot list, and its failures. */
CKIT_API ckit_status ckit_cache_list(ckit_cache *cache, const ckit_scope *scope, ckit_list_fn each, void *context,
                                     ckit_error *err);

/* ---- looking inside --------------------------------------------------------------------------------------- */

typedef struct ckit_cache_stats {
    size_t   struct_size;
    uint64_t l1_hits;
    uint64_t l1_stale_hits;
    uint64_t l1_misses;
    uint64_t l1_entries;
    uint64_t l1_used_bytes;
    uint64_t l1_max_bytes; /* the sum over namespaces, at most the total bound */
    uint64_t l1_evicted;
    uint64_t l1_expired;
    uint64_t l1_rejected; /* values that did not fit */
    uint64_t l2_hits;
    uint64_t l2_misses;
    uint64_t l2_writes;
    uint64_t l2_errors;
    uint64_t l2_corrupt;       /* stored values that could not be decoded */
    uint64_t computed;         /* functions run to success */
    uint64_t function_errors;  /* functions that failed */
    uint64_t flight_waits;     /* calls that waited for another call's computation */
    uint64_t flight_handovers; /* times a waiting call took over from one that failed */
    uint64_t refreshes;        /* background refreshes that were begun, of values that are stale or about to be */
    uint64_t too_large;        /* values over the limit, given to the caller and not stored */
    uint64_t uncached;         /* calls that ran without the cache because of a cache problem */
    uint64_t changes_told;     /* messages of the store about changes, of entries that are in memory here and others */
    uint64_t copies_dropped;   /* copies in memory that such messages named */
    uint64_t watches_lost;     /* times that changes may have been missed, and all copies were dropped */
    /* sealed values that did not open, by reason and by where they were met, in memory (l1) or in the store (l2) */
    uint64_t auth_failures_l1; /* altered, moved, of another tenant, or sealed with a key that is not in the ring */
    uint64_t auth_failures_l2;
    uint64_t suspicious_l1; /* claims to be in the clear where encryption is on, or no writer's header */
    uint64_t suspicious_l2;
    uint64_t sealed_corrupt_l1; /* damaged, or in another serializer's form */
    uint64_t sealed_corrupt_l2;
    uint64_t encryption_drift; /* sealed values that were opened where encryption is off */
    uint64_t not_sealed;       /* results that could not be sealed, and so were kept nowhere */
    uint64_t replay_pending;   /* changes that the store has not taken and that are still to be made up for */
    uint64_t replayed;         /* those that have been */
    uint64_t replay_dropped;   /* those that were too many to remember: everything is removed from the store instead */
    uint64_t l2_stale_hits;    /* values past their lifetimes that the store gave (l1_stale_hits: memory) */
    uint64_t leases_lost; /* results that were not stored: their lock had ended before, and may have been another's */
    /* where a store has its users tell each other what they change (redis.h, publish/subscribe): messages of this cache
     * ... */
    uint64_t changes_published;
    uint64_t changes_unheard;     /* that nobody was there to hear */
    uint64_t changes_unpublished; /* that the store refused to pass on */
    uint64_t messages_malformed;  /* that came in and could not be read */
    uint64_t watching;            /* 1: the store tells at this moment of every change; else 0 */
    uint64_t fail_safe_served;    /* values past their lifetimes that stood in for a function or a store that failed */
    uint64_t soft_limits;         /* calls that got such a value because the function took too long */
    uint64_t hard_limits;         /* calls that the function took too long for, with or without such a value */
    /* sealed values that the store has, met where there is no key: they stay, and what is computed instead is kept in
     * memory alone */
    uint64_t sealed_without_key;
    uint64_t refreshes_found; /* of `refreshes`: somebody else had stored a newer value, and memory took that */
    /* of them: left to somebody else, or to a later call (a lock, a failing store, a change) */
    uint64_t refreshes_put_off;
} ckit_cache_stats;
#define CKIT_CACHE_STATS_INIT CKIT_SIZED_INIT(ckit_cache_stats)
CKIT_API void ckit_cache_stats_init(ckit_cache_stats *stats, size_t struct_size);
/* Fills as much of `out` as `out->struct_size` says. Counters are exact once the threads that count are quiet. */
CKIT_API void ckit_cache_get_stats(ckit_cache *cache, ckit_cache_stats *out);

/* What the guard of the store has seen and thinks. False when there is none; then `out` stays as it is. Other caches
 * over the same guarded backend are in these figures too. */
CKIT_API bool ckit_cache_get_guard_stats(ckit_cache *cache, ckit_guard_stats *out);

/* Tries the store out, for store_timeout_ms at most; a cache without one is healthy ("memory"). Never fails. */
CKIT_API void ckit_cache_health(ckit_cache *cache, ckit_health *out);

/* The store behind the cache, with its guard where it has one; borrowed, for as long as the cache is open. NULL when
 * there is none. */
CKIT_API ckit_backend *ckit_cache_backend(ckit_cache *cache);

/* For who takes locks by the operations of that store: one that nobody holds, since its release failed, or since
 * `lock_try` failed and has filled the lease all the same (ext/backend.h). A worker lets it go as soon as the store
 * answers, looks once more for one that was not there yet, and gives up after ten minutes. Does not wait. Nothing happens
 * with a lease of zeros, without a store that has locks, or where 1,024 are remembered already. */
CKIT_API void ckit_cache_let_lock_go(ckit_cache *cache, ckit_slice key, const ckit_lease *lease);

#ifdef __cplusplus
}
#endif
#endif
