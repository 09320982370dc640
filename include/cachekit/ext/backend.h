/* cachekit/ext/backend.h - the contract of a store (L2), for people who write one.
 *
 * A store keeps bytes under keys. It never looks into values: they arrive compressed, checksummed and perhaps
 * encrypted, and leave unchanged. A backend is a constant table of functions and a `self` pointer:
 *
 *     static const ckit_backend_ops shelf_ops = {
 *         .abi = CKIT_BACKEND_ABI, .name = "shelf",
 *         .get = shelf_get, .set = shelf_set, .remove = shelf_remove, .exists = shelf_exists,
 *         .health = shelf_health, .close = shelf_close,
 *     };
 *     ckit_backend_new(&shelf_ops, shelf, NULL, &backend, &err);
 *
 * What every function can rely on, and must keep:
 *   - Called from many threads at once. No lock of the cache is held during a call.
 *   - `deadline_ms` is a point on the clock the backend was given (CKIT_NO_DEADLINE: the backend's own bound). A call
 *     that cannot be done by then answers with a status of kind TIMEOUT; it never waits without bound.
 *   - Keys are any bytes, 1 to 64 KiB. A key that the store cannot hold is a PERMANENT error, never another key.
 *   - Absent and empty are different things: an empty value is a value.
 *   - An expired entry is absent for `get`, `exists`, `ttl` and `touch`, also when its bytes are still there.
 *   - Failures carry a status whose kind is true: the guard of the store (guard.h) goes by it when it retries and
 *     breaks the circuit. After CKIT_E_NETWORK and kind TIMEOUT a change may have been carried out, or still be; after
 *     CKIT_E_UNREACHABLE nothing was sent. A store that pauses between its attempts to connect answers at once
 *     meanwhile. Where several operations are told what one attempt to connect came to, or that the connection they
 *     shared was lost, all but one of the answers have sys_errno EAGAIN, those during a pause too: to the circuit
 *     breaker, which counts failures, it is one. A store that does not ask a server which owes it an answer tells
 *     kind TIMEOUT at once, with EINPROGRESS when that is to count, as if it had waited, and EAGAIN otherwise.
 *   - After fork the child's first call works on connections and locks of its own.
 *   - No secret, no value and no whole key in an error text.
 *
 * From the first release, 1.0, on this page has its own promise: within one CKIT_BACKEND_ABI nothing on it changes,
 * neither the table nor the structs that are handed over. An addition raises the number, and the library knows how long
 * a table of each number is. */
#ifndef CACHEKIT_EXT_BACKEND_H
#define CACHEKIT_EXT_BACKEND_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CKIT_BACKEND_ABI 1u

/* What the cache knows about an entry besides its bytes. Slices live as long as the call. */
typedef struct ckit_entry_info {
    uint64_t   ttl_ms;         /* 1 .. CKIT_TTL_MAX_MS, or CKIT_TTL_NO_EXPIRY; never 0, never DO_NOT_STORE */
    ckit_slice namespace_name; /* empty: none */
    ckit_slice function;       /* the function whose result this is; empty: none */
} ckit_entry_info;

/* One entry as `list` shows it. Slices live as long as the callback. */
typedef struct ckit_listed {
    ckit_slice key;             /* empty when the store does not know it (written by another program) */
    ckit_slice name;            /* the store's own name for it, for people; never empty */
    ckit_slice namespace_name;  /* empty: none or unknown */
    ckit_slice function;        /* empty: none or unknown */
    uint64_t   size;            /* bytes it takes in the store */
    uint64_t   life_ms;         /* remaining life, or CKIT_LIFE_* */
    int64_t    created_wall_ms; /* last written (a new lifetime may count as that), Unix time; 0 = unknown */
} ckit_listed;

/* Called once per entry; anything but CKIT_OK ends the listing and is returned by it. */
typedef ckit_status (*ckit_list_fn)(void *context, const ckit_listed *entry);

/* What a scoped deletion did. */
typedef struct ckit_deleted {
    uint64_t deleted;
    uint64_t unindexed; /* entries it had to leave because the store cannot tell whose they are */
} ckit_deleted;

/* One figure that a store keeps about itself. */
typedef struct ckit_stat {
    const char *name;    /* "hits": lower case, lives as long as the callback. What means the same has the same name in
                            every store: hits, misses, writes, removes, expired, evicted, bytes_read, bytes_written;
                            entries, bytes, limit_entries, limit_bytes */
    bool        counter; /* true: only grows while counting goes on; false: a level, as it is now */
    uint64_t    value;
} ckit_stat;

/* Called once per figure; anything but CKIT_OK ends the telling and is returned by it. */
typedef ckit_status (*ckit_stat_fn)(void *context, const ckit_stat *stat);

/* The right to compute one key, for a bounded time. Filled by `lock_try`. */
typedef struct ckit_lease {
    uint8_t  token[16]; /* who holds it */
    uint64_t fence;     /* grows with every new holder of this key's lock; 0 = the store cannot fence */
} ckit_lease;

/* What a health check tells. */
typedef struct ckit_health {
    bool     healthy;
    double   latency_ms;
    char     backend_type[24];
    uint64_t entries;     /* UINT64_MAX = unknown */
    uint64_t bytes;       /* UINT64_MAX = unknown */
    uint64_t limit_bytes; /* UINT64_MAX = unknown */
    char     detail[160]; /* one line; what is wrong when not healthy */
    uint32_t connections; /* that are open; 0 for a store without any */
    uint32_t connections_in_use;
    uint32_t connections_max; /* 0 for a store without any */
} ckit_health;

/* One operation handed over without waiting. Everything in it belongs to the caller and stays valid until `done` has
 * been called, exactly once, from any thread, possibly before `submit` returns. */
typedef enum ckit_request_kind {
    CKIT_REQUEST_GET = 1,
    CKIT_REQUEST_SET = 2,
    CKIT_REQUEST_REMOVE = 3
} ckit_request_kind;
typedef struct ckit_request {
    ckit_request_kind kind;
    ckit_slice        key;
    ckit_slice        value; /* SET */
    ckit_entry_info   info;  /* SET */
    uint64_t          deadline_ms;
    ckit_buf         *out;     /* GET: the value is appended */
    uint64_t          life_ms; /* GET: filled */
    ckit_error        error;
    void (*done)(struct ckit_request *request, ckit_status status);
    void *context; /* the submitter's */
} ckit_request;

/* What happened to messages by which a store that cannot tell by itself has its users tell each other. */
typedef enum ckit_watch_figure {
    CKIT_WATCH_PUBLISHED = 1, /* of a change that was made here */
    CKIT_WATCH_UNHEARD = 2,   /* the same, and nobody was there to hear it */
    CKIT_WATCH_UNPUBLISHED =
        3, /* the server refused to pass it on: others keep their copies for the rest of their lives */
    CKIT_WATCH_MALFORMED = 4 /* one that came in could not be read, and was passed over */
} ckit_watch_figure;

/* What a store that watches is given by the cache above it, and tells it (see `watch`). Every function may be called
 * from any thread of the backend, with no lock of the backend held, also before `watch` has returned. They take
 * microseconds and never wait for the store. `lost` and `guarded` are called one after the other, never at once.
 *
 * From `guarded` to `lost` the backend vouches for this: whatever anybody, another process or this one, changes in the
 * store of a key that has been read through this backend since `guarded`, and since it was told or written last, is
 * told, sooner or later: a new value, a new lifetime, its end. A change is told after the store has made it, and a read
 * that begins after it was told sees it (so no replica that lags behind is read). Changes made through this backend may
 * be left out, but only those, and only when the operation has told that it succeeded: a write that was given up and
 * takes effect later is told. Where the backend cannot be sure that a message is about its own change alone, it passes
 * it on. That costs this process the copy that it has just made, and a read. */
typedef struct ckit_watch_sink {
    void *self;
    /* The entry of this key has changed, or may have. Keys that nobody here has read may be told as well. */
    void (*changed)(void *self, ckit_slice key);
    /* The same for the call with this hash of its arguments (64 lower-case hexadecimal digits, as in an automatic key)
     * of every function of the namespace, or of every namespace when the name is empty. */
    void (*call_changed)(void *self, ckit_slice namespace_name, ckit_slice hash);
    /* All entries of the scope have changed, or may have. */
    void (*scope_changed)(void *self, const ckit_scope *scope);
    /* From now on changes may be missed (the link dropped, a queue overflowed): every copy in memory goes. The state in
     * which a watch begins. Until `guarded`, memory keeps what it reads from this store or writes to it for a
     * second at most; only what the store did not take it keeps longer. Told again meanwhile, it takes all of that: a
     * store of several servers does so before one of them tells of changes again, while others are still away. */
    void (*lost)(void *self);
    /* From now on every change is told; the store has confirmed it. `what` is a sum of CKIT_GUARDS_*. Copies made
     * before go. Without a `lost` before it, it is taken as one. */
    void (*guarded)(void *self, unsigned what);
    /* Counts one message. May be NULL. */
    void (*counted)(void *self, ckit_watch_figure what);
} ckit_watch_sink;
#define CKIT_GUARDS_READS 1u /* keys that have been read; always there */
/* And keys that `set` or `set_if_owner` has written, without having been read. Without it memory keeps no copy of what
 * it writes: the next read makes one. */
#define CKIT_GUARDS_WRITES 2u

typedef struct ckit_backend_ops {
    uint32_t    abi;  /* CKIT_BACKEND_ABI of the header it was built with */
    const char *name; /* "file"; short, lower case, a constant */

    /* ---- required ---------------------------------------------------------------------------------------- */

    /* Appends the value to `out` and tells its remaining life (milliseconds or CKIT_LIFE_*).
     * CKIT_OK, CKIT_MISS (absent or expired; `out` unchanged), or a failure (`out` unchanged in length). */
    ckit_status (*get)(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                       ckit_error *err);
    /* Replaces value, lifetime and info of `key` as one: a reader sees the old entry or the new one. */
    ckit_status (*set)(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info, uint64_t deadline_ms,
                       ckit_error *err);
    /* CKIT_OK when something was removed, CKIT_MISS when nothing was there. */
    ckit_status (*remove)(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);
    /* CKIT_OK or CKIT_MISS, agreeing with `get` about expiry. */
    ckit_status (*exists)(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);
    /* Tries the store out without touching anybody's entries. Never fails: an unreachable store is not healthy. */
    void (*health)(void *self, uint64_t deadline_ms, ckit_health *out);
    /* Ends it. No other call is under way or comes later. Frees `self`. */
    void (*close)(void *self);

    /* ---- optional: NULL = this store cannot ------------------------------------------------------------------ */

    /* The remaining life of an entry. CKIT_OK or CKIT_MISS. */
    ckit_status (*ttl)(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err);
    /* Gives an entry a new lifetime from now. CKIT_OK or CKIT_MISS. */
    ckit_status (*touch)(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err);

    /* Many at once: one round trip where the store has such. out[i], life_ms[i] and answers[i] as in `get`, one answer
     * per key (a failure of one key does not fail the others). Returns CKIT_OK, or a failure of the whole. */
    ckit_status (*get_many)(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                            uint64_t *life_ms, ckit_status *answers, ckit_error *err);
    ckit_status (*set_many)(void *self, const ckit_slice *keys, const ckit_slice *values, const ckit_entry_info *infos,
                            size_t count, uint64_t deadline_ms, ckit_status *answers, ckit_error *err);

    /* Takes a request without blocking and answers it later through `request->done`. CKIT_PENDING when taken; any
     * other status means that it was not taken and `done` will not be called. */
    ckit_status (*submit)(void *self, ckit_request *request, ckit_error *err);

    /* Shows every live entry of `scope`; the order is the store's. Entries that come or go meanwhile may or may not be
     * shown. */
    ckit_status (*list)(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                        ckit_error *err);
    /* Removes every entry of `scope`; a failure when one may have been left that should be gone. `out` counts in any
     * case. */
    ckit_status (*delete_scope)(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                ckit_error *err);

    /* Locks: all three or none. `key` is the entry's key; the store derives the lock's own name. A lock ends by itself
     * `lease_ms` after it was taken or renewed (at least 1). `lock_try` makes one attempt: CKIT_OK and a lease, or
     * CKIT_MISS when somebody holds it. After a failure that leaves open whether the lock was taken, or will be (no
     * answer came), a store fills the lease as well; where it leaves it alone, the lock was not taken. The cache, which
     * hands over a lease of zeros, lets such a lock go when the store answers again (for others:
     * ckit_cache_let_lock_go). `lock_renew` and `lock_release`
     * answer CKIT_MISS when the lease is no longer ours. */
    ckit_status (*lock_try)(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                            ckit_error *err);
    ckit_status (*lock_renew)(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                              uint64_t deadline_ms, ckit_error *err);
    ckit_status (*lock_release)(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                ckit_error *err);
    /* `set`, but only while `lease` still holds the key's lock: a holder that was too slow never overwrites what its
     * successor stored. CKIT_MISS when the lease is lost (nothing was written). Needs the locks. */
    ckit_status (*set_if_owner)(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err);

    /* What the store puts in front of every key on the wire; borrowed, lives as long as the backend. NULL or an empty
     * answer: keys stay as they are. */
    ckit_slice (*key_prefix)(void *self);

    /* Tells what the store knows about itself, one figure after the other: counters over all programs that use it, not
     * only this one, and levels. What other programs have counted lately may be missing, and counting may begin again
     * at zero: `since_wall_ms` is when it began (Unix time; 0 = unknown), filled before the first figure is told. */
    ckit_status (*stats)(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context, int64_t *since_wall_ms,
                         ckit_error *err);
    /* Removes now what has expired and what dead writers left behind. out->deleted counts the entries that went, in any
     * case; live entries are not touched. A failure when one may have been left that should be gone. */
    ckit_status (*sweep)(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err);
    /* Tells `sink` about changes that others make, so that copies of their entries in this process's memory die, until
     * `close` has returned. Called at most once, before every other operation, and does not wait: what it needs (a
     * connection, a thread) may come into being later, with the first call of `sink->guarded`. `sink` lives as long as
     * the backend. CKIT_OK, or a failure: then nothing is ever told, and memory keeps copies for their whole life. In a
     * forked child the cache takes the watch for lost by itself; there the backend makes a new one with its first
     * operation. */
    ckit_status (*watch)(void *self, const ckit_watch_sink *sink, ckit_error *err);

    /* Locks of many keys, and writing under them: one round trip where the store has such; need the locks (and
     * `set_if_owner`). Each key by itself as with `lock_try`, `lock_renew`, `lock_release` and `set_if_owner`, with one
     * lease and one answer per key. Returns CKIT_OK, or a failure of the whole: of `lock_try_many` then none of the
     * locks is held by this caller, as far as can be known; those whose lease is filled are let go. Who has taken some
     * returns CKIT_OK, and the failure as the others' answers. The keys are different ones; the cache hands over 1,024
     * at most. A store has `lock_renew_many` when it renews so many in little time, be it one by one: a batch takes no
     * more than 1,024 locks of a store without it. */
    ckit_status (*lock_try_many)(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                 uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err);
    ckit_status (*lock_renew_many)(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                   uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
    ckit_status (*lock_release_many)(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                     uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
    ckit_status (*set_many_if_owner)(void *self, const ckit_slice *keys, const ckit_slice *values,
                                     const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                     uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
    /* Puts `value` in the place of `expected` as one: only while the entry holds exactly these bytes, and with the
     * lifetime and the info that it has. CKIT_OK; CKIT_MISS when it holds anything else, or is not there. For who
     * changes the form of a value and not what it means (ckit_rotate, rotate.h): what somebody writes meanwhile is
     * never lost. A store that has this lets the callback of its `list` call its other operations. */
    ckit_status (*replace)(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                           ckit_error *err);
    /* Ends a pause between attempts to connect: the next operation tries. Does not wait. A guard asks for it when the
     * last failure is longer ago than its recovery time, so that a store which is back is not found out later. */
    void (*hurry)(void *self);
} ckit_backend_ops;

/* A backend in use. */
typedef struct ckit_backend ckit_backend;

/* What a backend is given to work with: the same instance pieces as the cache above it. */
typedef struct ckit_backend_env {
    size_t            struct_size;
    const ckit_alloc *alloc;  /* NULL = malloc */
    const ckit_clock *clock;  /* NULL = the system's; outlives the backend, as `alloc` does */
    const ckit_log   *log;    /* NULL = standard error, warnings. Copy it: the struct itself may end with the call */
    const char       *tenant; /* for ckit_backend_open: as in ckit_cache_options (cache.h). Nothing for a backend */
} ckit_backend_env;
#define CKIT_BACKEND_ENV_INIT CKIT_SIZED_INIT(ckit_backend_env)
CKIT_API void ckit_backend_env_init(ckit_backend_env *env, size_t struct_size);

/* Checks the table (also in release builds: abi, name, required operations, locks all or none, set_if_owner only with
 * locks) and makes a backend of it. `ops` is kept: it outlives the backend. Of `env`, which may be NULL, the allocator
 * is taken. On success the backend owns `self`; on failure `self` stays the caller's.
 * CKIT_E_MISUSE names the operation that is missing. */
CKIT_API ckit_status ckit_backend_new(const ckit_backend_ops *ops, void *self, const ckit_backend_env *env,
                                      ckit_backend **out, ckit_error *err);
/* Ends it through ops->close. Accepts NULL. Not for a backend that was given to a cache: the cache closes it. */
CKIT_API void ckit_backend_close(ckit_backend *backend);
/* Borrowed; live as long as the backend. */
CKIT_API const ckit_backend_ops *ckit_backend_operations(const ckit_backend *backend);
CKIT_API void                   *ckit_backend_self(const ckit_backend *backend);
CKIT_API const char             *ckit_backend_name(const ckit_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
