/* cache/op.h - a call in progress: the state machine that both drivers turn.
 *
 *     LOOK  the store is asked          -> hit: done       -> miss: STALE or LOCK
 *     STALE the store is asked for a value past its life, where that may be served -> there: done -> not: LOCK
 *     LOCK  the fleet's lock is tried   -> ours: LOOK_AGAIN -> held by somebody: WAIT -> store has none: COMPUTE
 *     WAIT  a pause, then the store is asked again and the lock tried again, until lock_wait_ms are over
 *     LOOK_AGAIN  somebody may have stored it before we got the lock
 *     COMPUTE  the function's turn, outside; then ckiti_op_store
 *
 * ckiti_op_advance does one step and may wait for the store; the blocking driver calls it in the caller's thread, the
 * pollable one in a worker. Memory (ckiti_op_memory) and flights (ckiti_flight_join) come before. */
#ifndef CKITI_CACHE_OP_H
#define CKITI_CACHE_OP_H

#include "cache/memkey.h"
#include "cache/queue.h"

/* How often a value that was overtaken while it was read from the store is read again. */
#define CKITI_MOST_LOOKS 3u

typedef enum ckiti_phase {
    CKITI_PHASE_LOOK,
    CKITI_PHASE_OPEN, /* a submitted read of the store has answered: `stored` holds the bytes */
    CKITI_PHASE_STALE,
    CKITI_PHASE_LOCK,
    CKITI_PHASE_WAIT,
    CKITI_PHASE_LOOK_AGAIN,
    CKITI_PHASE_COMPUTE,
    CKITI_PHASE_STORE,
    CKITI_PHASE_DONE
} ckiti_phase;

/* From `args` on, the members of one that is lean (ckiti_op_new_lean) are not there; those it may have are marked. */
struct ckit_op {
    size_t           allocated; /* bytes; of one by itself */
    ckit_function   *function;
    ckit_cache      *cache;
    ckiti_phase      phase;
    bool             keyed;          /* false: the arguments cannot be part of a key; the call runs uncached */
    bool             refresh;        /* computed whatever is cached */
    bool             fresh_only;     /* a value past its life is no answer, unless the function fails */
    bool             background;     /* refreshes what its caller has been served (refresh.h) */
    bool             claimed;        /* the same, once its claim has begun */
    bool             in_life;        /* of such: memory's copy was within its lifetime when the claim began */
    bool             rejects;        /* the caller cannot read these bytes, wherever they are: */
    bool             keeps_rejected; /* the store's entry stays */
    bool             met_rejected;   /* found in the store, and counted */
    bool             met_locked;     /* the store has a sealed value, and there is no key here: it stays */
    size_t           rejected_len;
    uint64_t         rejected_hash;
    uint64_t         hash;
    _Atomic uint64_t birth; /* when its present work (a look at the store, a computation) began: the namespace's ... */
    _Atomic uint64_t version;  /* ... and the key's count, for invalidation */
    ckit_op         *sibling;  /* a ring of one batch's calls, among them those that share the count; NULL: none */
    _Atomic bool     has_late; /* `late` may be read by other threads: the function's turn has come */
    uint8_t          looks;    /* values read from the store and not believed */
    uint64_t         began_ms; /* when the function's turn came */
    ckit_status      kept_not; /* the store's failure to take the result, where that is the caller's */
    ckiti_note       note;     /* the same for changes elsewhere */
    ckiti_seat       seat;
    ckiti_seat_state news;   /* of a batch that follows: what its seat was told */
    ckiti_wait       wait;   /* WAIT */
    ckit_slice       memkey; /* its name in memory; empty without a key */
    ckit_buf         key;    /* the store's key; empty where nobody needs it */
    ckit_buf         tenant; /* whose call it is, of a function with tenants */
    bool             silent; /* the store did not answer in time: nobody waits for it again in this call */
    bool             locked;
    uint32_t         lock_forks; /* of the process that took it: a child neither renews it nor lets it go */
    bool             kept_late;  /* with the lock held the second entry was written (stale.h) */
    ckit_lease       lease;
    ckiti_held      *held;          /* its renewal; NULL: no memory for one */
    uint64_t         lease_end_ms;  /* then */
    uint64_t         lock_deadline; /* 0: not tried yet */
    uint32_t         pause_ms;
    uint64_t         retry_at_ms; /* WAIT */
    uint64_t         ttl_ms;      /* of the result */
    ckit_buf         document;    /* of the result, until it is shared */
    ckit_buf         late; /* may stand in for the result: read from the store, and valid as of `birth` and `version` */
    ckit_value       value; /* what the caller gets */
    ckit_error       error;
    ckit_buf         stored;
    ckit_status      got; /* of a read or a write by other means */
    bool             has_args;
    void            *context;    /* of `ready` and `stop`; or the batch */
    bool (*stop)(void *context); /* the blocking driver's: whether to wait no longer */
    bool stopped;

    ckit_args args; /* where the caller's do not last. Lean: only if asked for */

    /* the pollable driver's part (poll.c) */
    ckiti_queued  queued;
    ckit_op_ready ready;
    ckiti_job     work;
    ckiti_job     timer;
    ckit_request  request;

    ckiti_memkey own_memkey; /* what `memkey` is; written, and there, up to its length */
};

static inline ckit_op *ckiti_op_of_work(ckiti_job *job) {
    return (ckit_op *)(void *)((char *)job - offsetof(ckit_op, work));
}

/* The call's name in memory; returns its hash. */
uint64_t ckiti_call_name(const ckit_function *function, ckit_slice packed, ckiti_memkey *memkey);

/* Looks in memory: CKIT_OK or CKIT_STALE with *out filled, else CKIT_MISS. `memkey` and `hash` are filled. */
ckit_status ckiti_op_memory(ckit_function *function, ckit_slice packed, ckiti_memkey *memkey, uint64_t *hash,
                            ckit_value *out);

/* The same for functions that use memory carefully: CKIT_OK or CKIT_STALE with *out filled, CKIT_MISS, or
 * CKIT_E_AUTH_TAG with `err` filled. `out` is empty. */
ckit_status ckiti_careful_memory(ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey, uint64_t hash,
                                 ckit_value *out, ckit_error *err);
/* What the result of an operation is, for sealing it. */
ckiti_sealed_value ckiti_op_sealed_value(const ckit_op *op);
/* Of what a call is made in the clear: wiped where its values are sealed. */
static inline const ckit_alloc *ckiti_plain_alloc(const ckit_function *function) {
    return function->sealed ? &function->cache->sealing.wiping : function->cache->alloc;
}
/* Moves bytes in the clear into an empty value. */
void ckiti_value_take_plain(const ckit_function *function, ckit_value *value, ckit_buf *buf);

/* A call by its arguments; of a function with tenants the tenant's name stands in front of them, behind its length. */
typedef struct ckiti_joined {
    ckit_buf bytes;
} ckiti_joined;
/* Puts it there. Accepts every function; end it in every case. CKIT_E_CONFIGURATION: no tenant, or none that can be;
 * CKIT_E_NO_MEMORY. */
ckit_status ckiti_call_join(const ckit_function *function, const ckit_args *args, ckiti_joined *joined,
                            ckit_slice *packed, ckit_error *err);
void        ckiti_call_join_end(ckiti_joined *joined);
/* Takes it off again. Empty: the function has none. */
ckit_slice ckiti_call_split(const ckit_function *function, ckit_slice *packed);
/* The key without the tenant in front of it. */
ckit_slice ckiti_bare_key(const ckit_function *function, ckit_slice key);

/* Memory for an operation by itself, no more than it needs, uninitialised; ckiti_op_free gives it back. NULL: there is
 * none. `memkey` may be NULL: it will be uncached. */
ckit_op *ckiti_op_new(const ckit_cache *cache, const ckiti_memkey *memkey);
/* One of thousands, for ckiti_op_init_lean. */
ckit_op *ckiti_op_new_lean(const ckit_cache *cache, const ckiti_memkey *memkey, bool with_args);
void     ckiti_op_free(const ckit_cache *cache, ckit_op *op);

/* Prepares an operation for a call that memory could not answer (op is uninitialised). CKIT_E_NO_MEMORY when the
 * store's key cannot be made. */
ckit_status ckiti_op_init(ckit_op *op, ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey,
                          uint64_t hash, ckit_error *err);
ckit_status ckiti_op_init_lean(ckit_op *op, ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey,
                               uint64_t hash, ckit_error *err);
/* The key under which the store keeps the call, appended to `key`. CKIT_E_KEY_ARGUMENT when a custom key cannot be
 * made. */
ckit_status ckiti_call_key(const ckit_function *function, ckit_slice packed, ckit_buf *key, ckit_error *err);
/* The caller cannot read these bytes, which the call gave before. */
void ckiti_op_reject(ckit_op *op, ckit_slice bytes, bool keep);
/* For a call whose arguments cannot be a key. */
void ckiti_op_init_uncached(ckit_op *op, ckit_function *function);
void ckiti_op_init_lean_uncached(ckit_op *op, ckit_function *function);
/* Gives everything back: the lock, the seat (a follower takes over), memory. */
void ckiti_op_fini(ckit_op *op);

/* One step. CKIT_OK, CKIT_STALE: op->value holds the answer, and so does every follower. CKIT_COMPUTE: the function's
 * turn. CKIT_PENDING: call again, not before op->retry_at_ms. May wait for the store, never longer than its timeout. */
ckit_status ckiti_op_advance(ckit_op *op);
/* A look at the store by other means than ckiti_op_advance: to be told when it begins, and then what the answer `got`
 * to the read into op->stored means (as ckiti_op_advance; the phase stays that of the look). */
void        ckiti_op_begin_look(ckit_op *op);
ckit_status ckiti_op_opened(ckit_op *op, ckit_status got, uint64_t life_ms);
/* The same of the second entry, after its key was a miss: `got` and `left_ms` are ckiti_stale_judge's. What happened to
 * the key since that look began counts here too. */
ckit_status ckiti_op_opened_late(ckit_op *op, const ckit_buf *name, ckit_status got, uint64_t left_ms);
/* The same of an attempt to take the store's lock, begun at `now`: op->lease is filled when it was successful,
 * op->error when it failed. */
ckit_status ckiti_op_tried_lock(ckit_op *op, ckit_status st, uint64_t now);
/* Before the pause that ckiti_op_advance asked for: it ends early when something happens to the key. */
void ckiti_op_begin_wait(ckit_op *op);
/* After the flight was joined as its leader: another call may have landed between our look into memory and now. True
 * when op->value holds the answer, and the followers have it too. */
bool ckiti_op_is_fresh_by_now(ckit_op *op);
/* After CKIT_STALE: this operation is the one that refreshes the value, and it is its turn to compute. False: somebody
 * does already, or it is fresh again; then the operation is over. `elsewhere`: not in this thread. */
bool ckiti_op_take_ticket(ckit_op *op, bool elsewhere);
/* op->document is nil, and nil says something to the cache. */
bool ckiti_op_is_nil(const ckit_op *op);
/* The key was invalidated, or got another value, since the present work began. */
bool ckiti_op_was_overtaken(const ckit_op *op);
/* The function is to run; what happens to the key from now on counts. CKIT_COMPUTE. */
ckit_status ckiti_op_turn_of_the_function(ckit_op *op);

/* Takes the function's result, moving `document`. Checks that it is one document, unless the function is raw. */
ckit_status ckiti_op_result(ckit_op *op, ckit_buf *document, uint64_t ttl_ms, ckit_error *err);
/* Keeps an object in memory as the result, lands the flight and fills op->value; for caches without a store. The object
 * is taken when CKIT_OK is returned; CKIT_E_MISUSE for a wrong lifetime. */
ckit_status ckiti_op_keep_object(ckit_op *op, const ckit_object *object, uint64_t ttl_ms, ckit_error *err);
/* Stores the result in both tiers, lets the lock go, lands the flight and fills op->value. May wait for the store.
 * CKIT_OK, or the store's failure in op->error where that is the caller's. */
ckit_status ckiti_op_store(ckit_op *op);
/* The same in steps, for those who write to the store by themselves: `stored` of the first step is to be written, with
 * that lifetime and info, when it is not empty; the last step is told what came of it. */
typedef struct ckiti_storing {
    ckit_slice in_memory;
    ckit_slice stored;
    uint64_t   began;
    bool       late_is_done; /* the second entry too has been written, by whoever writes by himself */
} ckiti_storing;
void            ckiti_op_begin_store(ckit_op *op, ckiti_storing *storing);
ckit_entry_info ckiti_op_info(const ckit_op *op);
ckit_status     ckiti_op_end_store(ckit_op *op, const ckiti_storing *storing, ckit_status st, const ckit_error *why);
/* In between, for the second entry of a result that the store has taken (stale.h): what is to be done with it. For a
 * write `name` holds its name, and *stored, the first step's, becomes its value; a sealed one, which is bound to the
 * name, stands in `sealed`. Both are uninitialised before, and the caller's after it. */
typedef enum ckiti_late_step { CKITI_LATE_NOTHING, CKITI_LATE_WRITE, CKITI_LATE_REMOVE } ckiti_late_step;
ckiti_late_step ckiti_op_begin_late(ckit_op *op, ckit_slice *stored, ckit_buf *name, ckit_buf *sealed);
/* Whoever lets the lock go by himself tells how that ended. May wait for the store. */
void ckiti_op_released(ckit_op *op, ckit_status released);
/* The same without the store, which nobody has time for: memory only. Never waits; a lock stays with the operation. */
ckit_status ckiti_op_keep_without_store(ckit_op *op);
/* This operation refreshes a stale value: its ticket is the function's turn already, unless it is claimed first
 * (refresh.h). Nothing stands in for its result. */
void ckiti_op_begin_refresh(ckit_op *op);
/* A refresh writes without a look. Of a key that may be one of a sealed value and forgotten (sealing.h) it looks,
 * blocking, and what is sealed without a key here, or cannot be seen, will be left as it is. */
void ckiti_op_look_for_locked(ckit_op *op);
/* The function has failed: what may stand in for its result fills op->value, and everybody gets it who waits. False
 * when there is nothing. ckiti_op_failed comes after it in any case. Never waits. */
bool ckiti_op_fall_back(ckit_op *op, const ckit_error *why);
/* Whoever waits for this operation waits no longer: ckit_op_overdue. From any thread, while another computes. */
ckit_status ckiti_op_overdue(ckit_op *op, bool hard, ckit_value *out, ckit_error *err);
/* The store's lock is this process's to renew and to let go, not its parent's. */
static inline bool ckiti_op_owns_lock(const ckit_op *op) {
    return op->locked && op->lock_forks == op->cache->leases.forks;
}
/* A store that fails is more to this call than a miss. */
static inline bool ckiti_op_minds_failures(const ckit_op *op) {
    return op->function->fail_closed || op->function->fail_safe_ms != 0;
}
/* The function failed: it is counted at once; letting the lock go and handing the flight over may wait for the
 * store. */
void ckiti_op_count_failure(ckit_op *op);
void ckiti_op_failed(ckit_op *op);

#endif
