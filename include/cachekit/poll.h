/* cachekit/poll.h - the same calls for event loops: nothing here waits.
 *
 * A call in progress is a value, ckit_op. ckit_begin answers at once when memory can; otherwise the operation goes on
 * in the background and reports through a completion queue, a ckit_poll, whose descriptor becomes readable:
 *
 *     ckit_poll_new(cache, &poll, &err);
 *     ... watch ckit_poll_fd(poll) for reading (epoll, libuv, GLib, asyncio); when readable: ckit_poll_dispatch(poll) ...
 *
 *     ckit_start start = CKIT_START_INIT;
 *     start.function = users, start.args = &args;
 *     start.poll = poll, start.ready = on_ready, start.context = request;
 *     switch (ckit_begin(&start, &op, &value, &err)) {
 *     case CKIT_OK:      the value is there
 *     case CKIT_STALE:   a stale value is there; if op is not NULL, claim it (ckit_op_claim), compute a fresh one, then
 *                        ckit_finish
 *     case CKIT_COMPUTE: run the function (or start running it), then ckit_finish
 *     case CKIT_PENDING: on_ready is called later by ckit_poll_dispatch with one of these answers
 *     }
 *
 * With poll NULL the same steps block: that is what ckit_call does.
 *
 * ckit_begin and ckit_begin_many may be called from any thread, beside one that dispatches: `ready` may then be called
 * before they have returned. An operation, and a batch, is used by one thread at a time, the one that dispatches where
 * it has a poll; what another may call says so. */
#ifndef CACHEKIT_POLL_H
#define CACHEKIT_POLL_H

#include <cachekit/function.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ckit_poll ckit_poll;
typedef struct ckit_op   ckit_op;

/* A completion queue of its own for each event loop. CKIT_E_NO_MEMORY, CKIT_E_IO: no descriptor is left. */
CKIT_API ckit_status ckit_poll_new(ckit_cache *cache, ckit_poll **out, ckit_error *err);
/* Every operation begun with it has been freed before. Accepts NULL. */
CKIT_API void ckit_poll_close(ckit_poll *poll);
/* Readable while answers wait. Watch it, do not read it. The same for the poll's whole life, but not after fork: a
 * child opens its own poll. */
CKIT_API int ckit_poll_fd(const ckit_poll *poll);
/* Calls `ready` for every answer that waits, in this thread, and returns how many there were. Does not block. One
 * thread at a time for one poll. `ready` may begin, finish and free operations. */
CKIT_API size_t ckit_poll_dispatch(ckit_poll *poll);

/* `answer` is CKIT_OK (take the value with ckit_op_take), CKIT_STALE (the same; ckit_op_computes tells whether the
 * operation is the ticket to refresh it too), CKIT_COMPUTE (compute, then ckit_finish), or after ckit_finish or a
 * handed-over failure any other status; `op` is the receiver's to free with ckit_op_free. */
typedef void (*ckit_op_ready)(void *context, ckit_op *op, ckit_status answer);

typedef struct ckit_start {
    size_t         struct_size;
    ckit_function *function;
    ckit_args     *args;  /* NULL = no arguments; free to be reused when ckit_begin returns */
    ckit_poll     *poll;  /* NULL = block */
    ckit_op_ready  ready; /* required with a poll */
    void          *context;
    bool           peeked; /* ckit_peek has just answered CKIT_MISS: memory is not looked at a second time */
    /* ckit_peek has just answered CKIT_STALE: only the ticket to refresh it is wanted, and nothing waits. Answers
     * CKIT_STALE, without a value */
    bool       stale;
    bool       keep_rejected; /* the store's entry stays until the new result replaces it */
    ckit_slice rejected;      /* an answer to this call that its caller cannot read; empty = none */
    /* Without a poll, or NULL: called with `context` about ten times a second while another call's computation or the
     * store's lock is waited for, in this thread and with nothing locked. True ends the wait: CKIT_E_CANCELLED. For a
     * binding whose user presses Ctrl-C. */
    bool (*stop)(void *context);
} ckit_start;
#define CKIT_START_INIT CKIT_SIZED_INIT(ckit_start)
CKIT_API void ckit_start_init(ckit_start *start, size_t struct_size);

/* A caller that was given a value it cannot read (damaged, in a format of its own) begins the call again with
 * `rejected` pointing to those bytes, which last until ckit_begin returns (so not in *out). Where this call finds the
 * very same bytes they are as good as not there: memory forgets them, the store's entry is removed (unless
 * `keep_rejected`) and counted in l2_corrupt. Anything else that is found, written meanwhile, is an answer like any
 * other. So when many callers were given the same damaged value, one of them computes, and the others wait for it or
 * find what it has stored. */

/* CKIT_OK: *out is filled, *op is NULL. CKIT_STALE: *out is filled; *op is a refresh ticket, or NULL when somebody is
 * refreshing already. CKIT_COMPUTE: you are the leader: compute, then ckit_finish(*op, ...). CKIT_PENDING: see `ready`.
 * CKIT_E_NO_MEMORY, CKIT_E_MISUSE, in interop mode CKIT_E_KEY_ARGUMENT, or what ckit_args_pack says of arguments that
 * are incomplete: nothing was begun. CKIT_E_CANCELLED: `stop` said so. Where the function or the cache fails closed, the
 * failure of the store or CKIT_E_AUTH_TAG, in `err` where it is known at once. */
CKIT_API ckit_status ckit_begin(const ckit_start *start, ckit_op **op, ckit_value *out, ckit_error *err);

/* Tells that this thread is going to run the function, not the one that began the operation: a function that calls
 * itself with the same arguments is recognised by its thread, and runs instead of waiting for itself. Not needed for
 * operations with a poll, which wait for nothing; before this a ticket that was begun with `stale` belongs to no
 * thread. */
CKIT_API void ckit_op_move_here(ckit_op *op);

/* What a computation came to. */
typedef struct ckit_result {
    size_t             struct_size;
    ckit_status        status;   /* CKIT_OK, or the function's failure: a waiting call then takes over */
    ckit_slice         document; /* one MessagePack document, or the bytes of a raw function; copied */
    const ckit_object *object;   /* instead of a document, in a cache without a store: kept in memory as it is */
    uint64_t           ttl_ms;   /* CKIT_TTL_*; 0 = the function's */
} ckit_result;
#define CKIT_RESULT_INIT CKIT_SIZED_INIT(ckit_result)
CKIT_API void ckit_result_init(ckit_result *result, size_t struct_size);

/* Before the function of a refresh ticket runs: has somebody else refreshed the value already, or is about to? The
 * store is asked, and its lock for the key is taken, where it has locks; so a fleet refreshes a value once. With a
 * poll, which a ticket that was begun without one gets here (`ready` and `context` with it), the answer comes through
 * that: CKIT_PENDING; with NULL through the poll that it has, or else this call waits for the store.
 *
 * CKIT_COMPUTE: run the function, then ckit_finish. CKIT_OK: a newer value was there, and is in memory now
 * (ckit_op_take gives it). CKIT_MISS: not now: another process is at it, the value has changed, or the store cannot be
 * asked and the value is still within its lifetime. After these two the operation is over and to be freed. Without a
 * store always CKIT_COMPUTE. A ticket that is not claimed computes all the same. CKIT_E_MISUSE: no ticket, or claimed
 * already. */
CKIT_API ckit_status ckit_op_claim(ckit_op *op, ckit_poll *poll, ckit_op_ready ready, void *context, ckit_error *err);

/* Hands the result over: it is stored and whoever waits for it is woken. Blocking: CKIT_OK, and *out (may be NULL)
 * holds the value. With a poll: CKIT_PENDING, and `ready` brings CKIT_OK when the store has it; or CKIT_OK at once when
 * there was nothing to wait for. A failure in `result` comes back as it is, and `ready` is not called; or it is
 * CKIT_STALE with *out filled, where an older value stands in for the result (fail_safe_ms in function.h), and `err`
 * tells the failure. The operation still has to be freed. From any thread, also from one of a pool; after CKIT_PENDING
 * the operation is no longer that thread's: `ready` may have it. */
CKIT_API ckit_status ckit_finish(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err);

/* It waits for ckit_finish. */
CKIT_API bool ckit_op_computes(const ckit_op *op);
/* The caller has waited for the function, or for another call that runs it, as long as its soft (or hard) limit: what
 * may be given to him instead. CKIT_STALE: *out holds a value within `fail_safe_ms` (function.h). Without one
 * CKIT_MISS, or for the hard limit CKIT_E_FUNCTION_TIMEOUT with `err` filled. Counts it. The operation goes on: it is
 * finished or freed as ever. After CKIT_COMPUTE or CKIT_PENDING, from the thread that dispatches; of an operation
 * without a poll from any thread, until it is freed, also while another thread finishes it. Never waits. */
CKIT_API ckit_status ckit_op_overdue(ckit_op *op, bool hard, ckit_value *out, ckit_error *err);
/* The value of an operation that answered CKIT_OK or CKIT_STALE; moves it to *out, once. */
CKIT_API void ckit_op_take(ckit_op *op, ckit_value *out);
/* The failure of an operation, or NULL. Borrowed, until the operation is freed. */
CKIT_API const ckit_error *ckit_op_error(const ckit_op *op);
/* Frees it, at any time; one still in progress is cancelled: its `ready` is not called any more, and a waiting call
 * takes over the computation. Call it from the thread that dispatches. Accepts NULL. */
CKIT_API void ckit_op_free(ckit_op *op);

/* ---- many calls at once ------------------------------------------------------------------------------------- */

/* ckit_call_many (function.h) for event loops: many calls of one function are one operation, a ckit_batch.
 *
 *     ckit_batch_start start = CKIT_BATCH_START_INIT;
 *     start.function = users, start.args = args, start.count = 50;
 *     start.poll = poll, start.ready = on_batch, start.context = page;
 *     answer = ckit_begin_many(&start, &batch, &err);
 *
 *     switch (answer) {
 *     case CKIT_OK:      every call is answered: ckit_batch_take each, then ckit_batch_free
 *     case CKIT_COMPUTE: load what ckit_batch_missing gives, in one go (or start to), then ckit_finish_many
 *     case CKIT_PENDING: on_batch is called later by ckit_poll_dispatch with one of the other two
 *     }
 *
 * The loader is one that ckit_call_many would take. It runs once for all that is missing. What others compute at that
 * moment, here or in another process, is waited for after it; only when such a computation fails is there another
 * CKIT_COMPUTE, for those calls. With poll NULL the same steps block: that is what ckit_call_many does. */
typedef struct ckit_batch ckit_batch;

/* `answer` is CKIT_OK or CKIT_COMPUTE. */
typedef void (*ckit_batch_ready)(void *context, ckit_batch *batch, ckit_status answer);

typedef struct ckit_batch_start {
    size_t         struct_size;
    ckit_function *function;
    /* `count` of them; free to be reused when ckit_begin_many returns. NULL among them = no arguments */
    ckit_args *const *args;
    size_t            count;
    ckit_poll        *poll;  /* NULL = block */
    ckit_batch_ready  ready; /* required with a poll */
    void             *context;
    /* Without a poll: another thread goes on, with ckit_batch_wait. What memory cannot answer is CKIT_PENDING then, at
     * once. For a caller who has limits to how long he waits. */
    bool apart;
    /* Without a poll: asked about every 100 ms while the batch waits for what others compute, in this thread, with
     * `context`; true: ckit_begin_many, ckit_batch_wait or ckit_finish_many ends with CKIT_E_CANCELLED. NULL = wait */
    bool (*stop)(void *context);
    /* Refreshes, in the background of who was given stale values: of the calls those are loaded for which memory has
     * one that is due, unless somebody is at it already or the claim of the refresh (ckit_op_claim) comes to something
     * else. Nothing is waited for but the store. The answer of a call: CKIT_OK, it is fresh now; CKIT_MISS, it was left
     * as it is; or the loader's failure */
    bool refreshes;
} ckit_batch_start;
#define CKIT_BATCH_START_INIT CKIT_SIZED_INIT(ckit_batch_start)
CKIT_API void ckit_batch_start_init(ckit_batch_start *start, size_t struct_size);

/* CKIT_OK, CKIT_COMPUTE, CKIT_PENDING: *batch is the caller's, to be freed. CKIT_E_NO_MEMORY, CKIT_E_MISUSE: nothing
 * was begun. CKIT_E_CANCELLED: `stop` said so, and *batch is NULL. Failures of single calls are told by
 * ckit_batch_take. */
CKIT_API ckit_status ckit_begin_many(const ckit_batch_start *start, ckit_batch **batch, ckit_error *err);
/* After CKIT_PENDING of a batch that was begun `apart`, once: goes on in this thread, which is to run the loader too.
 * Blocks; answers like ckit_begin_many. CKIT_E_MISUSE for a batch with a poll. */
CKIT_API ckit_status ckit_batch_wait(ckit_batch *batch);
/* After CKIT_COMPUTE: the calls to be computed, each once; what a ckit_batch_loader is given. Until
 * ckit_finish_many. */
CKIT_API ckit_batch_call *ckit_batch_missing(ckit_batch *batch, size_t *count);
/* The loader has written its results. `status` other than CKIT_OK is its failure: that of every call it was given,
 * about which `err` (may be NULL) tells. Results are stored, and whoever waits for one is woken. Answers like
 * ckit_begin_many; CKIT_E_MISUSE for a batch that does not wait for results; after CKIT_E_CANCELLED the results are
 * stored, and the batch is to be freed. From any thread; after CKIT_PENDING the batch is no longer that thread's. */
CKIT_API ckit_status ckit_finish_many(ckit_batch *batch, ckit_status status, ckit_error *err);
/* The answer to call `index`: CKIT_OK, and the value is moved to *out, once; or the call's failure, with `err` filled;
 * or CKIT_PENDING. While the batch is the caller's: not between CKIT_PENDING and `ready`. */
CKIT_API ckit_status ckit_batch_take(ckit_batch *batch, size_t index, ckit_value *out, ckit_error *err);
/* As ckit_op_overdue, for call `index`: of a batch with a poll from the thread that dispatches, else from any thread
 * until it is freed. CKIT_OK, or the call's failure, when its answer is there already: *out is another of it. Not for
 * calls whose value has been taken. */
CKIT_API ckit_status ckit_batch_overdue(ckit_batch *batch, size_t index, bool hard, ckit_value *out, ckit_error *err);
/* As ckit_op_free. Values that nobody has taken are given back; results that ckit_finish_many has taken are stored all
 * the same. */
CKIT_API void ckit_batch_free(ckit_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
