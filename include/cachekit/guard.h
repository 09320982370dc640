/* cachekit/guard.h - what stands between a cache and its store, so that a store in trouble costs little.
 *
 *     ckit_backend_guard(store, NULL, NULL, &store, &err);
 *     ckit_cache_new(&options, store, &cache, &err);
 *
 * (Caches opened with ckit_cache_open are guarded by themselves.) The guard is a backend in front of a backend: the
 * same table of operations, so whatever uses it need not know. Everything that uses one guarded backend shares it. Four
 * parts, each of which can be switched off:
 *
 *   circuit breaker   after 5 failures in a row the store is left alone for 30 s (CKIT_E_CIRCUIT_OPEN at once); then up to
 *                     3 operations at once try it, 3 successes bring it back. Only failures of the kinds TRANSIENT,
 *                     TIMEOUT and UNKNOWN count: a wrong password, a value that is too large or a miss says nothing about
 *                     the store's health. The guard's own refusals never count
 *   adaptive timeout  an operation gets 1.5 times what 95 of the last 100 needed, of a window of 1000; at least 0.1 s, at
 *                     most 10 s, 1 s until 10 are known; locks are measured apart. The deadline is the earlier of this
 *                     and the caller's
 *   backpressure      at most 100 reads and writes are with the store at once; up to 1000 more wait up to 0.1 s for their
 *                     turn; who waits in vain gets CKIT_E_BUSY
 *   retries           what passes (TRANSIENT, TIMEOUT) is tried again up to 3 times after a random pause, within the same
 *                     deadline, where doing it twice is harmless: get, exists, ttl, remove and the batches of reads; set,
 *                     touch and batches of writes only where the store surely has not done it (neither TIMEOUT nor
 *                     E_NETWORK). Not what cannot be reached, and nothing while the last operation failed. To the
 *                     breaker all attempts together are one operation
 *
 * Locks are never retried and never wait for their turn. `health`, `list`, `delete_scope`, `stats` and `sweep` are
 * asked for by a person or a timer, take as long as they take, and go through untouched, also while the breaker is
 * open; what they find does not count. An operation of which the store has nothing is not there behind the guard either.
 *
 * What a guard has learnt can be shared: stores that are opened apart (for two tenants of one server, say) and have one
 * `ckit_guard` have one breaker, one window and one bound. And it can be driven by hand, for what is no store of this
 * library (ckit_guard_enter).
 *
 * Thread-safe. After fork the child goes on with what the parent had learnt, and without its operations under way. */
#ifndef CACHEKIT_GUARD_H
#define CACHEKIT_GUARD_H

#include <cachekit/error.h>
#include <cachekit/ext/backend.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For `excluded_kinds`. */
#define CKIT_KIND_BIT(kind) (1u << (unsigned)(kind))

/* What a guard has learnt and how busy it is, apart from the stores in front of which it stands. Counted: it ends with
 * the last store and the last ckit_guard_release. */
typedef struct ckit_guard ckit_guard;

/* For recovery_timeout_ms, queue_size and queue_timeout_ms: really none, where zero means the default. */
#define CKIT_GUARD_NONE UINT32_MAX

/* Zero means default everywhere; contradictions are CKIT_E_CONFIGURATION. */
typedef struct ckit_guard_options {
    size_t      struct_size;
    ckit_switch enabled; /* default on; off: no guard at all, whatever the rest says */

    ckit_switch breaker;             /* default on */
    uint32_t    failure_threshold;   /* failures in a row that open the circuit; default 5; 1 or more */
    uint32_t    success_threshold;   /* successes that close it again; default 3; 1 or more */
    uint32_t    recovery_timeout_ms; /* how long it stays open before a probe; default 30,000; up to a day */
    uint32_t    half_open_requests;  /* probes at once; default 3; up to 64 */
    uint32_t    excluded_kinds;      /* failures of these kinds do not count: CKIT_KIND_BIT(CKIT_KIND_TIMEOUT) | ... */

    ckit_switch adaptive_timeout;   /* default on; off: timeout_initial_ms always */
    uint32_t    timeout_initial_ms; /* until 10 operations are known; default 1000, or the nearer bound below */
    uint32_t    timeout_min_ms;     /* default 100 */
    uint32_t    timeout_max_ms;     /* default 10,000; up to an hour. min <= initial <= max */
    uint32_t    timeout_window;     /* operations that are remembered; default 1000; 10 to 100,000 */
    double      timeout_percentile; /* default 95; above 0, up to 100 */

    ckit_switch backpressure;     /* default on */
    uint32_t    max_concurrent;   /* reads and writes with the store at once; default 100; 1 or more */
    uint32_t    queue_size;       /* more that may wait for their turn; default 1000 */
    uint32_t    queue_timeout_ms; /* and for how long; default 100; up to an hour */

    ckit_switch retry; /* default on */
    /* whether a TIMEOUT of a read or a removal is tried again too, when there is time left; default on */
    ckit_switch retry_on_timeout;
    uint32_t    max_retries; /* default 3; up to 100; none: `retry` off */
    /* the first pause is random up to this, each further one up to twice as long; default 100; up to an hour */
    uint32_t    retry_delay_ms;
    ckit_guard *shared; /* the store joins this guard: but for `enabled` the other fields have no say */
    /* a directory where the guard tells other processes how it is (ckit_guard_notices); NULL: nowhere. Made when it is
     * absent; best on this machine, in memory, and such that nobody else can write to it: what it holds is believed.
     * Need not last */
    const char *status_dir;
} ckit_guard_options;
#define CKIT_GUARD_OPTIONS_INIT CKIT_SIZED_INIT(ckit_guard_options)
CKIT_API void ckit_guard_options_init(ckit_guard_options *options, size_t struct_size);

/* The numbers are those of dashboards. */
typedef enum ckit_breaker_state {
    CKIT_BREAKER_CLOSED = 0,
    CKIT_BREAKER_OPEN = 1,
    CKIT_BREAKER_HALF_OPEN = 2
} ckit_breaker_state;
/* "closed", "open", "half_open". Static text, never NULL. */
CKIT_API const char *ckit_breaker_state_name(ckit_breaker_state state);

/* What the timeouts of one sort of operation are made from. */
typedef struct ckit_guard_timing {
    uint64_t operations;    /* measured ever */
    uint32_t window;        /* of them remembered */
    uint32_t timeout_ms;    /* what the next operation gets */
    double   percentile_ms; /* of the window, at timeout_percentile; 0 when it is empty */
    double   average_ms;    /* of the window */
    uint64_t timed_out;     /* that ended with a failure of kind TIMEOUT */
} ckit_guard_timing;

typedef struct ckit_guard_stats {
    size_t             struct_size;
    ckit_breaker_state state;
    uint32_t           failures_in_a_row;
    uint32_t           probe_successes; /* in this half-open period */
    uint32_t           probes;          /* under way */
    uint64_t           recovery_in_ms;  /* while open: until a probe may go */
    uint64_t           failures;        /* that counted */
    uint64_t           refused;         /* by the breaker */
    uint64_t           opened;          /* transitions to each state */
    uint64_t           half_opened;
    uint64_t           closed;
    uint32_t           in_flight; /* reads and writes with the store now */
    uint32_t           waiting;   /* for their turn */
    uint64_t           waited;    /* that got their turn after waiting */
    uint64_t           rejected;  /* by backpressure: the queue was full, or the wait too long */
    bool               accepting; /* the queue is less than 80 % full */
    uint64_t           retries;   /* second and further attempts */
    uint64_t           recovered; /* operations that such an attempt saved */
    ckit_guard_timing  data;      /* reads and writes */
    ckit_guard_timing  locks;
    uint64_t           last_failure_ms_ago; /* that counted; UINT64_MAX: there was none */
} ckit_guard_stats;
#define CKIT_GUARD_STATS_INIT CKIT_SIZED_INIT(ckit_guard_stats)
CKIT_API void ckit_guard_stats_init(ckit_guard_stats *stats, size_t struct_size);

/* Puts a guard in front of `backend`, which is the guard's from now on, also when this fails. `options` and `env` may
 * be NULL; of `env` the guard takes allocator, clock and log, unless it is shared. A store that is guarded already, or
 * is to have no guard (enabled = off), is handed back as it is. CKIT_E_CONFIGURATION (an option
 * out of its range, or a contradiction; the text names it), CKIT_E_MISUSE (struct_size is 0), CKIT_E_NO_MEMORY. */
CKIT_API ckit_status ckit_backend_guard(ckit_backend *backend, const ckit_guard_options *options,
                                        const ckit_backend_env *env, ckit_backend **out, ckit_error *err);

/* Fills as much of `out` as out->struct_size says. False when `backend` is NULL or has no guard; then `out` stays as it
 * is. */
CKIT_API bool ckit_backend_guard_stats(const ckit_backend *backend, ckit_guard_stats *out);
/* Closes the circuit by hand, as after a repair. False when there is no guard. */
CKIT_API bool ckit_backend_guard_reset(const ckit_backend *backend);
/* The guard of a store, for `shared`; one more reference, which ckit_guard_release gives back. NULL when there is
 * none. */
CKIT_API ckit_guard *ckit_backend_get_guard(const ckit_backend *backend);

/* ---- what running processes tell ------------------------------------------------------------------------------ */

/* A guard as its process has told it. Everything lives as long as the callback. */
typedef struct ckit_guard_notice {
    size_t                  struct_size;
    uint64_t                pid;
    const char             *program;
    const char             *store;        /* the guard's first: "redis", "file" */
    int64_t                 told_wall_ms; /* Unix time */
    uint32_t                max_concurrent;
    uint32_t                queue_size;
    uint32_t                failure_threshold;
    uint32_t                recovery_timeout_ms;
    const ckit_guard_stats *stats;
} ckit_guard_notice;
typedef void (*ckit_guard_notice_fn)(void *context, const ckit_guard_notice *notice);

/* Reads what the guards of all running processes with this `status_dir` have told, in no order. A guard tells when its
 * circuit changes, and otherwise about once a second while something is asked of its store: a process that asks for
 * nothing tells nothing, and its notice grows old. Notices of processes that have ended, and files that are no notices,
 * are left out. `each` is called in this thread. CKIT_MISS: there is no such directory; CKIT_E_PERMISSION,
 * CKIT_E_IO. */
CKIT_API ckit_status ckit_guard_notices(const char *status_dir, ckit_guard_notice_fn each, void *context,
                                        ckit_error *err);

/* ---- a guard by itself ---------------------------------------------------------------------------------------- */

/* `options`, `env` and answers as for ckit_backend_guard; `enabled` has no say, and `shared` is CKIT_E_MISUSE. What
 * `env` points at outlives it. */
CKIT_API ckit_status ckit_guard_new(const ckit_guard_options *options, const ckit_backend_env *env, ckit_guard **out,
                                    ckit_error *err);
/* Gives one reference back; the guard goes on as long as a store has it. Accepts NULL. */
CKIT_API void ckit_guard_release(ckit_guard *guard);
/* As ckit_backend_guard_stats. */
CKIT_API void ckit_guard_get_stats(ckit_guard *guard, ckit_guard_stats *out);
/* The numbers in effect, with defaults filled in; as much of `out` as out->struct_size says. `shared` is NULL. */
CKIT_API void ckit_guard_get_options(const ckit_guard *guard, ckit_guard_options *out);
/* Closes the circuit, as ckit_backend_guard_reset. */
CKIT_API void ckit_guard_reset(ckit_guard *guard);

/* The right to one operation, between ckit_guard_enter and ckit_guard_leave. Copied as it is; left exactly once. */
typedef struct ckit_guard_pass {
    uint64_t opaque[8];
} ckit_guard_pass;
/* Asks for the right to one operation: CKIT_OK, and *timeout_ms (may be NULL) is how long it should take at most; or
 * CKIT_E_CIRCUIT_OPEN; or CKIT_E_BUSY, after waiting for its turn for queue_timeout_ms. There is nothing to leave
 * after a refusal. */
CKIT_API ckit_status ckit_guard_enter(ckit_guard *guard, ckit_guard_pass *pass, uint32_t *timeout_ms, ckit_error *err);
/* It is over, CKIT_KIND_NONE: well. Its duration goes into the window, its outcome to the breaker. */
CKIT_API void ckit_guard_leave(ckit_guard *guard, const ckit_guard_pass *pass, ckit_error_kind kind);
/* An operation that somebody else has measured: `locks` says in which of the two windows it belongs. */
CKIT_API void ckit_guard_record(ckit_guard *guard, bool locks, uint64_t took_us);

#ifdef __cplusplus
}
#endif
#endif
