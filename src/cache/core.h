/* cache/core.h - what a cache is made of; shared by the files of this directory. */
#ifndef CKITI_CACHE_CORE_H
#define CKITI_CACHE_CORE_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/misuse.h"
#include "cache/coherence.h"
#include "cache/flight.h"
#include "cache/lease.h"
#include "cache/replay.h"
#include "cache/sealing.h"
#include "cache/stripes.h"
#include "cache/waits.h"
#include "cache/workers.h"
#include "guard/guard.h"
#include "memory/l1.h"
#include "observe/counters.h"

#include <cachekit/buf.h>
#include <cachekit/cache.h>
#include <cachekit/function.h>
#include <stdatomic.h>

#define CKITI_DEFAULT_TTL_MS (UINT64_C(3600) * 1000)
#define CKITI_UNKNOWN_LIFE_MS (UINT64_C(30) * 1000) /* memory keeps a value of unknown life no longer than this */
#define CKITI_MAX_NAMESPACES 4096u
#define CKITI_PAUSES 256u      /* keys whose refreshes were put off lately, as far as it is remembered */
#define CKITI_MOST_RUNNERS 64u /* functions with a limit that run at the same time; further ones wait */

/* How the bytes of a memory entry are meant. What a function gave, raw or not, counts as a document: functions that
 * differ in that do not share entries. */
enum {
    CKITI_TAG_DOCUMENT = 1,
    CKITI_TAG_RAW = 2,
    CKITI_TAG_INTEROP = 3,
    CKITI_TAG_SEALED = 4, /* each of these, sealed */
    CKITI_TAG_SEALED_RAW = 5,
    CKITI_TAG_SEALED_INTEROP = 6,
    CKITI_TAGS_END
};

/* Counters of a cache. */
enum {
    CKITI_L2_HITS,
    CKITI_L2_MISSES,
    CKITI_L2_WRITES,
    CKITI_L2_ERRORS,
    CKITI_L2_CORRUPT,
    CKITI_COMPUTED,
    CKITI_FUNCTION_ERRORS,
    CKITI_FLIGHT_WAITS,
    CKITI_FLIGHT_HANDOVERS,
    CKITI_REFRESHES,
    CKITI_TOO_LARGE,
    CKITI_UNCACHED,
    CKITI_CHANGES_TOLD,
    CKITI_COPIES_DROPPED,
    CKITI_WATCHES_LOST,
    CKITI_LEASES_LOST,
    CKITI_CHANGES_PUBLISHED,
    CKITI_CHANGES_UNHEARD,
    CKITI_CHANGES_UNPUBLISHED,
    CKITI_MESSAGES_MALFORMED,
    CKITI_CACHE_COUNTERS_END
};
_Static_assert(CKITI_CACHE_COUNTERS_END <= CKITI_COUNTERS_MAX, "there is a place for each");

/* Further ones, of what happens when answers are late. */
enum {
    CKITI_L2_STALE_HITS,
    CKITI_FAIL_SAFE,
    CKITI_SOFT_LIMITS,
    CKITI_HARD_LIMITS,
    CKITI_REFRESHES_FOUND,
    CKITI_REFRESHES_PUT_OFF
};

/* Counters of a function. */
enum {
    CKITI_FN_L1_HITS,
    CKITI_FN_L2_HITS,
    CKITI_FN_MISSES,
    CKITI_FN_COMPUTED,
    CKITI_FN_ERRORS,
    CKITI_FN_L2_STALE_HITS,
    CKITI_FN_FAIL_SAFE,
    CKITI_FN_REFRESHES,
    CKITI_FN_SOFT_LIMITS,
    CKITI_FN_HARD_LIMITS
};

/* The memory of one namespace. Lives as long as the cache. */
typedef struct ckiti_namespace {
    struct ckiti_namespace *next;
    ckiti_l1               *l1;     /* NULL: memory is off, or could not be had */
    ckiti_copies           *copies; /* NULL: the store does not watch */
    _Atomic uint64_t        births; /* the counter of invalidations where there is no tier to keep it */
    _Atomic uint64_t        floor;  /* what was born below is invalidated */
    _Atomic uint32_t        named;  /* functions in it whose calls have custom keys */
    size_t                  name_len;
    char                    name[];
} ckiti_namespace;

/* What else tells functions of one name apart. */
enum {
    CKITI_TRAIT_INTEGRITY = 1,
    CKITI_TRAIT_RAW = 2,
    CKITI_TRAIT_CUSTOM_KEY = 4,
    CKITI_TRAIT_INTEROP = 8,
    CKITI_TRAIT_TENANTS = 16
};

/* What handles of one function have in common. Lives as long as the cache. */
typedef struct ckiti_function_record {
    struct ckiti_function_record *next;
    ckiti_namespace              *ns;
    uint32_t                      id;     /* begins its keys in memory; 0 is for keys of entries */
    uint8_t                       traits; /* CKITI_TRAIT_* */
    _Atomic uint64_t              floor;
    size_t                        name_len;
    size_t                        operation_len; /* in interop mode; 0 otherwise */
    char                          name[];        /* as scopes tell it, and behind it the operation as keys have it */
} ckiti_function_record;

struct ckit_function {
    ckiti_counters         counters;
    ckit_cache            *cache;
    ckiti_function_record *record;
    ckit_loader            loader;
    void                  *context;
    ckit_key_prefix        key_prefix;
    uint64_t               ttl_ms;
    uint64_t               stale_ms;
    uint64_t               fail_safe_ms;
    uint64_t               keep_ms; /* the longer of the two: how long past its life a value is kept */
    double                 ttl_jitter;
    double                 early_beta;
    uint64_t               nil_ttl_ms;
    _Atomic uint64_t       compute_ms; /* how long its last runs took, the younger the weightier */
    bool                   fail_closed;
    uint32_t               soft_limit_ms;
    uint32_t               hard_limit_ms;
    double                 early_refresh;
    uint64_t               renew_below_ms; /* remaining life in the store below which a hit renews it; 0 = never */
    int                    compression_level;
    bool                   integrity;
    bool                   raw;
    bool                   custom_key;
    bool                   interop;
    bool                   use_l1;  /* memory holds the values themselves, under the arguments alone */
    bool                   careful; /* memory is used, but not like that: values are sealed, or tenants' (careful.c) */
    bool                   sealed;
    bool                   tenants;
    bool                   refreshable; /* by its loader, or by its callers: batches give stale values */
    ckit_tenant_fn         tenant_of;
    size_t                 refreshing; /* work in the background (ckiti_function_hold); guarded by cache->mu */
    struct ckit_function  *next;       /* of all handles; guarded by cache->mu */
    struct ckit_function  *prev;
};

/* A completion queue, as the cache that forks must know it. */
typedef struct ckiti_poll_hooks {
    struct ckiti_poll_hooks *next; /* of all; guarded by cache->mu */
    struct ckiti_poll_hooks *prev;
    void (*fork_prepare)(struct ckiti_poll_hooks *poll);
    void (*fork_parent)(struct ckiti_poll_hooks *poll);
    void (*fork_child)(struct ckiti_poll_hooks *poll);
} ckiti_poll_hooks;

struct ckit_cache {
    ckiti_counters          counters;
    ckiti_counters          late_counters;
    ckiti_stripes           stripes;
    ckiti_coherence         coherence;
    ckiti_flights           flights;
    ckiti_workers           workers;
    ckiti_workers           runners; /* of functions with a limit */
    ckiti_sealing           sealing;
    ckiti_leases            leases;
    ckiti_waits             waits;
    _Atomic uint64_t        pauses[CKITI_PAUSES]; /* refresh.c */
    ckit_cache_options      options;              /* with the defaults filled in */
    ckit_clock              clock_copy;
    ckit_log                log_copy;
    const ckit_clock       *clock; /* NULL = the system's */
    const ckit_log         *log;
    const ckit_alloc       *alloc;
    ckit_backend           *backend;
    const ckit_backend_ops *ops; /* NULL: memory only */
    void                   *store;
    ckiti_guard            *guard;  /* of the store; NULL = none */
    ckiti_replay            replay; /* between the cache and the store */
    ckiti_l1_budget         budget;
    uint64_t                seed;

    /* mu guards the lists below against writers, and the functions' `refreshing`. Readers of the first two lists follow
     * the pointers without it: rows are only ever added. It is taken before every other lock of the cache and never
     * held across the store or a function. */
    pthread_mutex_t                  mu;
    pthread_cond_t                   refreshed;
    _Atomic(ckiti_namespace *)       namespaces;
    _Atomic(ckiti_function_record *) records;
    ckit_function                   *functions;
    ckiti_poll_hooks                *polls;
    size_t                           namespace_count;
    uint32_t                         record_count;
    ckiti_namespace                 *no_namespace;
    ckiti_job                        sweep;
    _Atomic bool                     sweeping;        /* the sweep job has been submitted */
    _Atomic bool                     sweeps_soon;     /* ... to run before its time */
    _Atomic bool                     custom_keys;     /* a function has been made whose calls have custom keys */
    _Atomic bool                     interop;         /* ... that is in interop mode */
    _Atomic uint64_t                 next_warning_ms; /* until then failures of the store are only counted */
    _Atomic uint64_t                 unsaid;          /* failures since the last line about one */
    ckiti_fork_hooks                 fork;
};

/* ---- cache.c ---- */

/* The namespace of that name, made when it is new. CKIT_E_TOO_LARGE when there are too many, CKIT_E_NO_MEMORY. */
ckit_status ckiti_namespace_get(ckit_cache *cache, ckit_slice name, ckiti_namespace **out, ckit_error *err);
/* The same without making one. */
ckiti_namespace *ckiti_namespace_find(ckit_cache *cache, ckit_slice name);
uint64_t         ckiti_namespace_birth(const ckiti_namespace *ns);
uint64_t         ckiti_namespace_bump(ckiti_namespace *ns);
/* What was born below is invalidated, for an entry of that name in memory; 0 for keys of entries. */
uint64_t ckiti_function_floor(ckit_cache *cache, ckit_slice memkey);
/* Starts the background sweep with the first value that memory keeps. */
void ckiti_sweep_start(ckit_cache *cache);
/* Brings the next sweep forward, so that what a whole scope held in memory is given back within a second. */
void ckiti_sweep_soon(ckit_cache *cache);

static inline ckit_slice ckiti_record_operation(const ckiti_function_record *record) {
    return ckit_slice_of(record->name + record->name_len, record->operation_len);
}

/* What was born below is invalidated, for a call of this function. */
static inline uint64_t ckiti_function_min_birth(const ckit_function *function) {
    uint64_t own = atomic_load_explicit(&function->record->floor, memory_order_acquire);
    uint64_t whole = atomic_load_explicit(&function->record->ns->floor, memory_order_acquire);
    return own > whole ? own : whole;
}

/* Memory may keep the function's values, in whatever form. */
static inline bool ckiti_uses_memory(const ckit_function *function) { return function->use_l1 || function->careful; }

static inline uint8_t ckiti_function_tag(const ckit_function *function) {
    return function->sealed ? CKITI_TAG_SEALED : CKITI_TAG_DOCUMENT;
}

static inline uint64_t ckiti_cache_now(const ckit_cache *cache) { return ckiti_now_ms(cache->clock); }

#endif
