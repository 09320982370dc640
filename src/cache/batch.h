/* cache/batch.h - many calls of a function as one: the machine that both drivers turn.
 *
 * Each call that memory cannot answer is an operation with a seat in a flight and perhaps a lock of the store, as a
 * single call. Seats and locks are taken without waiting; what is got is computed by one run of a loader, stored, and
 * let go, and only then is waited for what others compute. So batches that share keys, in whatever order, cannot wait
 * for each other in a circle: who waits leads no flight that he could end, and holds no lock.
 *
 *     ckiti_batch_open(batch)           one pass over memory; seats
 *     ckiti_batch_take_news(batch)      what has happened meanwhile to those who wait
 *     ckiti_batch_go(batch)             asks the store, as far as nobody has to be waited for:
 *         CKIT_COMPUTE   the turn of the loader: `calls`, then ckiti_batch_take_results, and go on
 *         CKIT_PENDING   somebody else has the rest: pause until `news`, or ckiti_batch_due_ms; ckiti_batch_resume
 *         CKIT_OK        all is answered */
#ifndef CKITI_CACHE_BATCH_H
#define CKITI_CACHE_BATCH_H

#include "cache/call.h"

/* So much is handed to the store at once: each portion has a time limit of its own, and the others that use the store
 * wait for no more. */
#define CKITI_BATCH_PORTION 1024u

/* So many locks of a store that renews one by one, and no more: all of them have to be renewed in two thirds of a lease
 * while the loader runs (lease.h), also when a round trip takes a tenth of a second. */
#define CKITI_BATCH_LOCKS 1024u

typedef enum ckiti_row_state {
    CKITI_ROW_ANSWERED = 0,
    CKITI_ROW_TWIN,    /* the same call as an earlier one of the batch */
    CKITI_ROW_LEADS,   /* has steps to take: its operation's phase tells which */
    CKITI_ROW_WAITS,   /* leads, but another process has the lock */
    CKITI_ROW_FOLLOWS, /* somebody else in this process computes it */
    CKITI_ROW_DUE,     /* is to be computed */
    CKITI_ROW_KEPT,    /* has been computed: the result is to be stored */
    CKITI_ROW_FAILED   /* could not be computed, for the reason in its operation's error */
} ckiti_row_state;

typedef struct ckiti_row {
    ckit_op        *op;   /* NULL: answered; taken away only with the batch's lock held */
    size_t          twin; /* the row whose call it is, + 1; 0 = its own */
    size_t          slot; /* of its operation: a place in `storing` */
    ckiti_row_state state;
    bool            together; /* its result is written with others */
    bool            lets_go;  /* its lock is to be released with others */
} ckiti_row;

/* What is handed to the store together: `portion` elements each. */
typedef struct ckiti_batch_arrays {
    size_t           portion;
    size_t          *places; /* of the rows */
    ckit_slice      *keys;
    ckit_slice      *values;
    ckit_entry_info *infos;
    ckit_buf        *bytes;
    ckit_buf        *names; /* of second entries (stale.h) */
    uint64_t        *life_ms;
    ckit_status     *answers;
    ckit_lease      *leases;
} ckiti_batch_arrays;

/* What loaders are given, and what becomes of their results: `room` elements each. */
typedef struct ckiti_batch_loads {
    size_t           room;
    size_t          *places; /* of the rows */
    ckit_batch_call *calls;
    ckit_writer     *writers;
    ckit_buf        *results;
    ckiti_storing   *storing; /* by the rows' slots */
} ckiti_batch_loads;

struct ckit_batch {
    ckiti_queued      queued; /* first */
    ckit_batch_ready  ready;
    void             *context;
    ckiti_job         work;
    ckit_function    *function;
    ckit_cache       *cache;
    ckit_args *const *args;
    bool              copies;    /* the arguments, which do not last */
    bool              refreshes; /* what memory has and is due */
    bool (*stop)(void *context); /* the blocking driver's: whether to wait no longer; may be NULL */
    size_t             count;
    ckit_value        *out;
    ckit_status       *answers;
    bool               owns_out; /* and answers */
    ckit_error         first;    /* failure */
    ckiti_row         *rows;
    size_t            *heads;      /* by hash: a row + 1 whose operation came first; 0 = none */
    size_t             head_count; /* a power of two */
    size_t             open;       /* rows that memory did not answer */
    ckiti_batch_arrays a;
    ckiti_batch_loads  loads;
    size_t             missing;         /* how many `calls` there are */
    bool               settles;         /* rows are KEPT or FAILED */
    bool               hands_over;      /* results are on their way to the store; the caller's to read and write */
    uint64_t           follow_until_ms; /* no longer for others in this process; 0: not waiting for them */
    uint64_t           pause_until_ms;  /* by ckiti_batch_now, as is the next */
    uint64_t           asked_ms;        /* so long the store was asked before the pause */
    uint64_t           moved_ms;        /* when a call was answered last whose lock somebody had; 0: none was */
    pthread_mutex_t    mu; /* guards `news`, the operations' `news` while they follow, and taking them away; a leaf */
    pthread_cond_t     changed;
    bool               news;
    bool               synced; /* there are these three */
};

/* ---- batch.c: rows and their answers ---- */

/* Makes the rows of a batch whose fields up to `count` are set, looks into memory, and takes seats. CKIT_E_NO_MEMORY:
 * every answer is that. */
ckit_status ckiti_batch_open(ckit_batch *b, ckit_error *err);
/* Gives everything back: locks (may wait for the store), seats, memory. */
void             ckiti_batch_fini(ckit_batch *b);
bool             ckiti_batch_has(const ckit_batch *b, ckiti_row_state state);
const ckit_args *ckiti_batch_args(const ckit_batch *b, size_t i);
void             ckiti_batch_answer(ckit_batch *b, size_t i);
/* Without a value, and without a failure. */
void ckiti_batch_end(ckit_batch *b, size_t i, ckit_status answer);
bool ckiti_batch_is_done(const ckit_batch *b);
/* `why` is the first failure's story, if it is the first. */
void ckiti_batch_fail(ckit_batch *b, size_t i, ckit_status answer, const ckit_error *why);
/* Frees the operations of rows that have been answered. */
void ckiti_batch_sweep(ckit_batch *b);
/* Those whose own call has been answered. */
void ckiti_batch_answer_twins(ckit_batch *b);

/* Another of the same value, shared where that can be. */
ckit_status ckiti_value_lend_or_copy(const ckit_function *function, const ckit_value *value, ckit_value *out);

/* ---- batch_limits.c: a function that may take only so long ---- */

/* Answers a batch that has been opened, with copies of its arguments, and ends it; or leaves it to a thread that
 * does. */
void ckiti_batch_in_time(ckit_batch *b, ckit_batch_loader loader, void *context, ckit_value *out, ckit_status *each,
                         ckit_error *first);

/* ---- call_many.c: the blocking driver ---- */

/* Until all is answered. */
void ckiti_batch_run_with(ckit_batch *b, ckit_batch_loader loader, void *context);
/* One with answers of its own. */
void ckiti_batch_free(ckit_batch *b);

/* ---- batch_store.c: the store's part ---- */

/* What a step of its operation came to. */
void ckiti_batch_took(ckit_batch *b, size_t i, ckit_status st);
/* Something is to be done that may wait for the store. */
bool        ckiti_batch_needs_store(const ckit_batch *b);
ckit_status ckiti_batch_go(ckit_batch *b);
/* What the loader has given is stored, or told to be missing: the first thing that ckiti_batch_go does. */
void ckiti_batch_settle(ckit_batch *b);
/* The same without the store and without waiting for anybody. */
ckit_status ckiti_batch_go_without(ckit_batch *b);
/* What leads is computed without asking the store. */
void ckiti_batch_skip_store(ckit_batch *b);
bool ckiti_batch_has_lock(const ckit_batch *b);
/* Somebody else lets them go. */
void ckiti_batch_forget_locks(ckit_batch *b);
/* Lets all locks go, in one call where the store has such. */
void ckiti_batch_unlock_all(ckit_batch *b);

/* ---- batch_late.c: what may be served past its life ---- */

/* Writes the second entries of those whose own were written together, or removes older ones. Before the locks are let
 * go. A store that did not answer when those were written is not asked. */
void ckiti_batch_keep_late(ckit_batch *b);

/* ---- batch_load.c: the loader's part ---- */

/* The calls that are due. CKIT_COMPUTE. */
ckit_status ckiti_batch_make_calls(ckit_batch *b);
/* The loader has run: `status` of the whole, and `err` its story. */
void ckiti_batch_take_results(ckit_batch *b, ckit_status status, const ckit_error *err);
/* There will be no results. */
void ckiti_batch_drop_calls(ckit_batch *b);

/* ---- batch_wait.c: waiting for others ---- */

void ckiti_batch_take_seat(ckit_batch *b, size_t i);
/* The same for a refresh, which waits for nobody: claims it. */
void ckiti_batch_take_ticket(ckit_batch *b, size_t i);
void ckiti_batch_take_news(ckit_batch *b);
bool ckiti_batch_has_news(ckit_batch *b);
/* The end of a pause, or something has happened in it; what nobody answers in time is computed here. */
void ckiti_batch_resume(ckit_batch *b);
/* Of the cache's clock for a batch with a poll, else of the system's. */
uint64_t ckiti_batch_now(const ckit_batch *b);
/* Before a pause: it ends early with `news`. Returns until when it lasts, by ckiti_batch_now. */
uint64_t ckiti_batch_begin_pause(ckit_batch *b);
/* Blocks until then. False: it was told to stop. */
bool ckiti_batch_pause(ckit_batch *b);
/* Waits for nobody any more. */
void ckiti_batch_leave_others(ckit_batch *b);
/* The seats of its calls become those of another thread, or of this one: ckiti_flight_move_away, _here. */
void ckiti_batch_move_seats(ckit_batch *b, void (*move)(ckiti_flights *flights, ckiti_seat *seat));

#endif
