/* cachekit/function.h - a slow function made fast: memory, the store, one computation per key.
 *
 *     static ckit_status load_user(void *context, ckit_load *load, ckit_error *err) {
 *         ckit_reader args;
 *         ckit_args_positional(load->args, &args);
 *         int64_t id = ckit_read_int(&args);
 *         ... ask the database ...
 *         ckit_write_cstr(load->result, name);
 *         return CKIT_OK;
 *     }
 *
 *     ckit_function_new(cache, "app.load_user", load_user, db, NULL, &users, &err);
 *     ckit_args args;
 *     ckit_args_init(&args);
 *     ckit_args_int(&args, 42);
 *     ckit_value user = CKIT_VALUE_INIT;
 *     ckit_call(users, &args, &user, &err);      // slow once, then fast
 *     ckit_value_fini(&user);
 *     ckit_args_fini(&args);
 *
 * A cache problem never breaks the function: when the store fails, the function runs and its result comes back. Errors
 * of the function are the caller's: they are passed on as they are and never cached. Everything here may be called
 * from any thread; a loader must be prepared for that too. For event loops read poll.h. */
#ifndef CACHEKIT_FUNCTION_H
#define CACHEKIT_FUNCTION_H

#include <cachekit/cache.h>
#include <cachekit/key.h>
#include <cachekit/msgpack.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ckit_function ckit_function;

/* What a loader is given. */
typedef struct ckit_load {
    const ckit_args *args;   /* read with ckit_args_positional and ckit_args_find_keyword (key.h) */
    ckit_writer     *result; /* write exactly one value; nil is a value like any other */
    uint64_t         ttl_ms; /* may be set: the lifetime of this result (CKIT_TTL_*); 0 = the function's */
} ckit_load;

/* Computes a value. CKIT_OK with one value written, or a failure (no answer such as CKIT_MISS) with `err` filled
 * (ckit_fail), which goes to the caller; `err` is never NULL here. Runs in the caller's thread, or in a background
 * thread when a stale value is refreshed. */
typedef ckit_status (*ckit_loader)(void *context, ckit_load *load, ckit_error *err);

/* Appends the name of the tenant that the call belongs to. `context` is the function's. Any failure: it runs
 * uncached. */
typedef ckit_status (*ckit_tenant_fn)(void *context, const ckit_args *args, ckit_buf *tenant, ckit_error *err);

/* Zero means default. */
typedef struct ckit_function_options {
    size_t      struct_size;
    const char *namespace_name; /* part of the key, owner of the memory; NULL = none */
    uint64_t    ttl_ms;         /* CKIT_TTL_*; 0 = the cache's default */
    /* how long past its lifetime a value is still served, while one background refresh runs; 0 = not at all. With a
     * store: see below */
    uint64_t    stale_ms;
    ckit_switch integrity;         /* part of the key; default the cache's */
    int         compression_level; /* 0 = the cache's */
    ckit_switch l1;                /* default the cache's */
    /* more than 0 and at most 1: a value in memory is refreshed when it is asked for after this part of its lifetime,
     * a tenth more or less, drawn at each read; so it is refreshed before it ends. From nine tenths of that part on
     * memory serves it as a stale one. 0 = not at all. Lifetimes end when they would. With a store: see below */
    double early_refresh;
    bool   raw;        /* results are in a format of the caller's own: see below */
    bool   custom_key; /* the only argument of each call is a text that names its entry: see below */
    /* more than 0 and at most 1: a value that the store has less than this part of `ttl_ms` left of gets all of it
     * again when it is found there (sliding expiration), where the store can do that. 0 = not at all */
    double renew_below;
    /* the name of the operation: keys and values that all CacheKit SDKs share. NULL = those of this SDK. See below */
    const char *interop;
    /* results are sealed (seal.h), in the store and in memory; on needs a cache with a key ring that can seal
     * (CKIT_E_NO_MASTER_KEY), goes with `integrity` whatever the cache's is, and contradicts CKIT_OFF of it
     * (CKIT_E_CONFIGURATION). Default the cache's */
    ckit_switch encryption;
    bool        tenants; /* results belong to tenants, and nobody is given another's: see below */
    /* names the tenant of a call; asked when ckit_args_tenant has not told. Implies `tenants` */
    ckit_tenant_fn tenant_of;
    /* how long past its lifetime a value may stand in for a function that fails, or for a store that cannot be asked;
     * 0 = not at all: see below */
    uint64_t fail_safe_ms;
    /* more than 0 and less than 1: each computed value lives up to this part of its lifetime shorter, drawn when it is
     * stored, so that what was stored together does not end together. 0 = none */
    double ttl_jitter;
    /* more than 0: memory serves a value as a stale one shortly before its end already, the earlier the longer the
     * function takes: this many times the measured time of a run on average, drawn for each value (XFetch: Vattani,
     * Chierichetti, Lowenstein, 2015); 1 suits most. 0 = not at all */
    double early_beta;
    /* lifetime of a result that is nil, unless the result has its own; CKIT_TTL_*. Such a value is not renewed
     * (renew_below). 0 = as any other */
    uint64_t nil_ttl_ms;
    /* a store that fails makes the call fail, with the store's error: before the function runs where it cannot be
     * read, and after it where the result cannot be stored, which is then kept nowhere. Memory is served all the same.
     * Default: the function's result is what counts */
    bool fail_closed;
    /* a call that waits longer than this for the function gets a value within `fail_safe_ms` instead, where there is
     * one; the function goes on, and its result is stored. Needs fail_safe_ms. 0 = none */
    uint32_t soft_limit_ms;
    /* a call waits no longer than this: it gets such a value, or CKIT_E_FUNCTION_TIMEOUT, and the function goes on. At
     * least soft_limit_ms; 0 = none: see below */
    uint32_t hard_limit_ms;
    /* whoever is given a stale value refreshes it: with the ticket of ckit_begin, or for many with a batch that
     * `refreshes` (poll.h). Then batches of a function without a loader give stale values as answers too, which are
     * misses for them otherwise. CKIT_E_CONFIGURATION for a function with a loader, which refreshes by itself */
    bool caller_refreshes;
} ckit_function_options;
#define CKIT_FUNCTION_OPTIONS_INIT CKIT_SIZED_INIT(ckit_function_options)
CKIT_API void ckit_function_options_init(ckit_function_options *options, size_t struct_size);

/* stale_ms: the store keeps such a value twice, under its key for its lifetime and under KEY:stale for its lifetime and
 * `stale_ms`. Whoever asks for the key alone sees it end in time. When it is not there, the second entry is read, and
 * what it holds is served as a stale value (ckit_value.stale) and refreshed. Whatever removes the call removes both; a
 * key that somebody else has removed before its time is an ordinary miss. Values without an end have no second entry.
 * Processes that share a function give it the same `stale_ms`.
 *
 * early_refresh, and refreshes of every kind: a background refresh looks into the store first. What somebody else has
 * stored there meanwhile goes into memory, with the life that it has there. Otherwise the function runs with the
 * store's lock held, where the store has locks, so one process of a fleet refreshes a value; the others leave it to
 * that one, and a later call finds the result. While a value is within its lifetime it is forgotten when the store has
 * lost it, and kept, without any refresh, when the store cannot be asked: then it is asked again after a second. The
 * age of a value from the store is told by what it has left of `ttl_ms` there; when a refresh looks due by that, that
 * part of what it has left passes first, because results may have had a shorter lifetime of their own.
 *
 * fail_safe_ms: past `stale_ms`, or without it, a value past its lifetime is no answer as long as the function gives
 * one. When it fails, a call that would have failed gets that value, labelled (ckit_value.stale), and so do the calls
 * that waited for it; when the store fails, before the function is asked at all, and the function runs in the
 * background. It is kept in memory, and in the store under KEY:stale. Not for ckit_refresh, nor for tickets (poll.h).
 *
 * soft_limit_ms, hard_limit_ms: ckit_call runs the loader of such a function in a thread of its own, with a copy of the
 * arguments. Up to 64 of a cache run at the same time; further calls wait for a thread, which counts for their limits.
 * A call from inside such a run, of the same cache or of another, waits for none: without a free one it runs in that
 * thread, and so does one in its caller's that has waited for its soft limit and has no hard one.
 * Nothing stops a loader: closing the function waits for it. Time is real time. ckit_call_many does the same with a
 * loader for many, whose `context` then has to last until it returns, which may be after ckit_call_many has: past the
 * soft limit it returns when every call has an answer or an older value, past the hard one with CKIT_E_FUNCTION_TIMEOUT
 * for those that have neither. A call that waits for another one, in this process or elsewhere, waits as long as that,
 * too. Who computes by himself after ckit_begin, or has an event loop with timers of its own, says when a call's time
 * is over (ckit_op_overdue in poll.h).
 *
 * raw: what ckit_finish is given (one byte or more) is stored exactly as it is, as with CKIT_RAW (cache.h): no frame,
 * no compression, no checksum, no look whether it is a document. The same bytes come back from memory and from the
 * store, whoever wrote them there; whether they are sound is for the caller to judge, who begins the call again with
 * what he rejects (ckit_start.rejected in poll.h). Such a function has no loader.
 *
 * custom_key: the store's key is ckit_key_custom (key.h) of the namespace and the text instead of the automatic key, so
 * functions of one namespace that name the same text share one entry of the store; they must agree on `integrity` and
 * `raw`. In memory each has its own; when one of them computes, refreshes or invalidates, the others of this cache
 * forget theirs, and so they do when the entry is changed or deleted by its key (cache.h). Scopes count a shared entry
 * to the function that wrote it last. Other arguments, and keys longer than the cache's max_key_bytes, cannot be part
 * of a key (CKIT_E_KEY_ARGUMENT): such calls run uncached. */

/* interop: the store's key is NAMESPACE:OPERATION:HASH (ckit_interop_key), `namespace_name` is needed, and both have to
 * be names of that format. The function's own name is no part of it: functions of one namespace and operation share
 * their entries, in memory too, and scopes know them by the operation. Arguments are made with ckit_args_interop
 * (interop.h); values are one plain MessagePack document, in its canonical form when it is written: no frame, no
 * compression, no checksum, so `integrity` and `compression_level` count for nothing. What others have written may be
 * in any form; what cannot be read is removed, counted in l2_corrupt and computed again.
 *
 * Interop mode never degrades. What is outside of its data model is an error of the caller's, and the caller is told:
 * an argument before anything is looked up or run (CKIT_E_KEY_ARGUMENT, as ckit_args_pack tells it; CKIT_E_MISUSE for
 * arguments that ckit_args_interop has not made), a value after the function has run (CKIT_E_VALUE_TYPE; nothing is
 * stored). Troubles of the store stay what they are everywhere: the function runs. Not together with `raw`,
 * `custom_key`, objects of a binding, or a store that puts something in front of keys: nobody else would find them
 * there. */

/* encryption: stored bytes are those of the CacheKit SDKs (a "CK" frame with a sealed payload); of a raw function's
 * result a frame in the clear becomes such a frame, and any other bytes are sealed as they are. Memory holds the same
 * sealed bytes, and a hit opens them; objects are not kept. A value that does not open is a miss, or with fail_closed
 * (cache.h) the call's failure.
 *
 * tenants: each call has a tenant, 1 to 1024 bytes of UTF-8, from ckit_args_tenant (key.h) or `tenant_of`. The store's
 * key is "t:TENANT:" (percent-encoded) and then the key that the call would have without; sealed values are sealed for
 * the tenant and the key without its prefix. Without a tenant the function runs uncached. The call's entry of another
 * tenant is another entry. Scopes cover all tenants where the store knows the functions of its entries. */

/* Names a function to the cache. `name` is "module.qualified_name": it is part of the key, so two functions of one name
 * and namespace share their entries. `loader` may be NULL when only ckit_begin is used (poll.h). `context` is handed to
 * the loader as it is. Texts are copied; the cache must outlive the function. Waits for nothing.
 *
 * CKIT_E_CONFIGURATION  options out of their ranges, or that contradict each other; the text names them
 * CKIT_E_NO_MASTER_KEY  encryption without a key that seals
 * CKIT_E_MISUSE         a loader of a raw function; a name that is empty or not UTF-8
 * CKIT_E_TOO_LARGE      more than 4096 namespaces in one cache
 * CKIT_E_NO_MEMORY */
CKIT_API ckit_status ckit_function_new(ckit_cache *cache, const char *name, ckit_loader loader, void *context,
                                       const ckit_function_options *options, ckit_function **out, ckit_error *err);
/* No call is under way or comes later. Waits for background refreshes of this function that are running, and for what
 * operations that were freed (poll.h) are still doing. Accepts NULL. */
CKIT_API void ckit_function_close(ckit_function *function);

/* The value of the call, as one document in out->data: from memory, from the store, from another call of this process
 * that is already computing it, or from the loader. `args` may be NULL for a call without arguments; it is packed by
 * this call and may be used again. `out` is empty or holds an earlier value, which is given back first. Waits for the
 * loader, however long that takes (unless the function has limits); for another call no longer than flight_wait_ms, for
 * the store's lock no longer than lock_wait_ms, and for each operation of the store no longer than store_timeout_ms.
 *
 * CKIT_OK. Also when an argument cannot be part of a key (but in interop mode) or the store is down: then the loader
 * runs uncached (one warning in the log, counted in `uncached`). Any other status is the loader's own, or
 *   CKIT_E_MISUSE  it did not write exactly one value, or the function has no loader
 *   CKIT_E_FUNCTION_TIMEOUT  it took longer than hard_limit_ms
 *   the store's, where the function fails closed; CKIT_E_AUTH_TAG, where the cache does (cache.h)
 *   CKIT_E_NO_MEMORY, or what ckit_args_pack says of arguments that are incomplete */
CKIT_API ckit_status ckit_call(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err);

/* ---- many calls at once ------------------------------------------------------------------------------------- */

/* One of the calls that a batch loader is to compute. */
typedef struct ckit_batch_call {
    const ckit_args *args;
    size_t           index;  /* which of the calls that ckit_call_many was given */
    ckit_writer     *result; /* write exactly one value; NULL for a raw function */
    ckit_buf        *bytes;  /* of a raw function: append one byte or more; else NULL */
    uint64_t         ttl_ms; /* may be set: the lifetime of this result (CKIT_TTL_*); 0 = the function's */
    ckit_status      status; /* may be set to a failure: this call alone fails */
    ckit_object      object; /* may be filled instead of writing, where ckit_finish takes objects: with `release` */
} ckit_batch_call;

/* Computes all of `calls`, in the thread of ckit_call_many, or in another where the function has limits. CKIT_OK, or a
 * failure of the whole with `err` filled. */
typedef ckit_status (*ckit_batch_loader)(void *context, ckit_batch_call *calls, size_t count, ckit_error *err);

/* `count` calls of one function: one pass over memory, one batched read of the store for what is missing, one run of
 * `loader` with exactly the calls that are then still missing, and one batched write of its results. out[i] and
 * answers[i] are what ckit_call would have given; values in `out` are given back first. The same call may be there
 * twice; it is computed once. `loader` NULL: the function's own runs for each.
 *
 * Calls that somebody else in this process computes already are waited for, after this batch has computed its own, and
 * others wait for what this batch computes. When such a computation fails elsewhere, `loader` is run again for those
 * calls. The store's locks are taken as by single calls, without waiting; what another process has locked is waited
 * for, also after this batch has computed and stored its own, and no longer than lock_wait_ms (cache.h) after the last
 * of such answers that came. Of a store that cannot renew many locks at once a batch takes 1,024 at most, and computes
 * what is beyond them without. A stale value, in memory or in the store, is an answer when the function has a loader of
 * its own, which refreshes it in the background, or when its caller does (caller_refreshes), else a miss. An event loop
 * uses ckit_begin_many (poll.h).
 *
 * CKIT_OK: every answer is CKIT_OK. Else the first failure that was met, about which `err` tells; the others' answers
 * are there all the same. CKIT_E_MISUSE: no loader at all. */
CKIT_API ckit_status ckit_call_many(ckit_function *function, ckit_args *const *args, size_t count,
                                    ckit_batch_loader loader, void *context, ckit_value *out, ckit_status *answers,
                                    ckit_error *err);

/* ---- looking, refreshing, forgetting ------------------------------------------------------------------------ */

/* Looks into memory alone: CKIT_OK or CKIT_STALE with *out filled, else CKIT_MISS, also for arguments that cannot be
 * part of a key. Never waits, runs nothing and starts no refresh, so a binding may call it under a lock of its
 * language. Counts as a use when it finds something. `out` must be empty. */
CKIT_API ckit_status ckit_peek(ckit_function *function, ckit_args *args, ckit_value *out);

/* The same for an object of a binding (ckit_result.object), which is a miss when documents are kept: `retain` takes a
 * hold of it while it cannot go away, and *object is the caller's then. `retain` has to be short and must not call back
 * into the cache. `args` is not NULL. `hint` may be NULL; with the answer CKIT_OK it is filled, or left so that it
 * never holds. Made for hits of tens of nanoseconds: it counts for the cache's statistics but not for the function's,
 * which a binding can do without an atomic addition. */
CKIT_API ckit_status ckit_peek_object(ckit_function *function, ckit_args *args, void (*retain)(void *object),
                                      void **object, ckit_object_hint *hint);

/* Whether a look with the same arguments would find the same object again, fresh: it has not been replaced,
 * invalidated, evicted, given another lifetime, and has not expired. For a binding with a quicker way to recognise
 * arguments it already knows. It may use the object without a hold of its own when everything that memory releases is
 * let go under a lock that it holds meanwhile (an interpreter's): what is not there any more is told here before it is
 * released. Counts as no use: look with ckit_peek_object now and then, or the entry seems unused and is evicted. */
CKIT_API bool ckit_object_hint_holds(const ckit_function *function, const ckit_object_hint *hint);

/* Runs the loader now, whatever is cached, and stores the result; waits and answers as ckit_call does. `out` may be
 * NULL. */
CKIT_API ckit_status ckit_refresh(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err);

/* Forgets one call, in both tiers. CKIT_OK when there was an entry, else CKIT_MISS; a failure of the store as from
 * ckit_cache_delete; or what keeps the arguments from being a key (ckit_args_pack). */
CKIT_API ckit_status ckit_invalidate(ckit_function *function, ckit_args *args, ckit_error *err);

/* Forgets every call of the function: ckit_cache_invalidate with its scope. */
CKIT_API ckit_status ckit_function_invalidate(ckit_function *function, ckit_deleted *deleted, ckit_error *err);

/* The key under which the store keeps a call, appended to `key`: for looking an entry up by hand. Waits for nothing.
 * What keeps the arguments from being a key (ckit_args_pack), or CKIT_E_NO_MEMORY; `key` is unchanged then. */
CKIT_API ckit_status ckit_function_key(ckit_function *function, ckit_args *args, ckit_buf *key, ckit_error *err);

typedef struct ckit_function_stats {
    size_t   struct_size;
    uint64_t l1_hits; /* stale ones included */
    uint64_t l2_hits;
    uint64_t misses; /* calls that neither tier could answer */
    uint64_t computed;
    uint64_t errors;           /* of the loader */
    uint64_t l2_stale_hits;    /* values past their lifetimes that the store gave */
    uint64_t fail_safe_served; /* as in ckit_cache_stats */
    uint64_t refreshes;
    uint64_t soft_limits;
    uint64_t hard_limits;
} ckit_function_stats;
#define CKIT_FUNCTION_STATS_INIT CKIT_SIZED_INIT(ckit_function_stats)
CKIT_API void ckit_function_stats_init(ckit_function_stats *stats, size_t struct_size);
/* Fills as much of `out` as `out->struct_size` says: what this handle of the function has counted. */
CKIT_API void ckit_function_get_stats(ckit_function *function, ckit_function_stats *out);

#ifdef __cplusplus
}
#endif
#endif
