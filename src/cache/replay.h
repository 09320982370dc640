/* cache/replay.h - changes that the store did not take are made up for when it is back.
 *
 * Between a cache and its (guarded) store. Operations pass through; a change that fails (a value, a removal, a scope;
 * also what an open circuit or a full queue turned away) is remembered by its key, the newest only. From then on what
 * the store has under the key is older than what this process knows:
 *
 *   - reads of it are misses here, the store is not asked;
 *   - as soon as the store answers again the key is removed from it, whatever it holds. Never is a value written: somebody
 *     else may have written a newer one meanwhile, or have removed it, and nobody could tell. A miss too much is the price;
 *   - a change of the key that succeeds before that makes up for it too.
 *
 * A change whose answer did not come may still take effect, after others that came later. Such a key is removed twice,
 * the second time CKITI_REPLAY_SETTLE_MS after the store was seen to work, and not believed before.
 *
 * Bounded: where there are too many keys, or no memory for one, all are replaced by "everything": the whole store is
 * distrusted until all entries have been removed from it. What a store leaves because it cannot tell whose it is stays
 * distrusted.
 *
 * Locks that the store may hold though nobody here holds them (loose.h) are let go in the same way.
 *
 * The store is tried past the circuit breaker, by a worker, at most every CKITI_REPLAY_PAUSE_MS: nobody waits for that,
 * and others should not read what is outdated until a breaker here takes heart. A store that may not be there at all
 * (`store_optional`) is tried through the breaker, seldom. */
#ifndef CKITI_CACHE_REPLAY_H
#define CKITI_CACHE_REPLAY_H

#include "cache/changes.h"
#include "cache/loose.h"
#include "cache/workers.h"

#include <cachekit/buf.h>
#include <cachekit/ext/backend.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CKITI_REPLAY_FIRST_PAUSE_MS 50u /* between a failure and the first try; doubles up to ... */
#define CKITI_REPLAY_PAUSE_MS 400u
#define CKITI_REPLAY_OPTIONAL_MS 5000u     /* ... where the store may not be there */
#define CKITI_REPLAY_FIRST_TIMEOUT_MS 500u /* of one try; grows while there is no answer, up to ... */
#define CKITI_REPLAY_TIMEOUT_MS 1500u
#define CKITI_REPLAY_SETTLE_MS 750u
#define CKITI_REPLAY_REFUSED_MS 1000u /* after the store has refused a removal for good; doubles up to ... */
#define CKITI_REPLAY_REFUSED_MAX_MS 60000u
#define CKITI_REPLAY_LOCK_MS                                                                                           \
    600000u                         /* a store that stands still for longer may take a lock then that nobody knows of */
#define CKITI_REPLAY_WORD_MS 1000u  /* the log hears of it once in so long, as of what fails */
#define CKITI_REPLAY_CLOSE_MS 1000u /* a cache that closes tries once, for so long */

struct ckit_cache;

typedef enum ckiti_replay_state { CKITI_REPLAY_IDLE, CKITI_REPLAY_WAITS, CKITI_REPLAY_RUNS } ckiti_replay_state;

typedef struct ckiti_replay {
    ckit_backend_ops        ops;     /* what the cache is given */
    const ckit_backend_ops *through; /* where its operations go: the guard, or the store */
    void                   *through_self;
    const ckit_backend_ops *direct; /* the store itself */
    void                   *direct_self;
    struct ckit_guard      *guard; /* that it goes past; NULL: past none */
    _Atomic uint64_t        replayed;
    _Atomic uint64_t        dropped;
    _Atomic bool            stopping;
    _Atomic int             state; /* a ckiti_replay_state; changed under the lock */

    pthread_mutex_t mu;      /* guards what follows; taken before the workers' own, and after every other lock */
    ckiti_changes   changes; /* no `count`: nobody need take the lock */
    ckiti_loose     loose;
    const char     *unsaid;     /* for the log, when the lock is free */
    uint64_t        due_ms;     /* WAITS */
    uint64_t        not_before; /* the store was away then */
    uint32_t        pause_ms;
    uint32_t        timeout_ms;
    uint64_t        next_word_ms; /* before it nothing is said of what has been made up for */
    uint64_t        unsaid_times;
    ckiti_job       job;
    ckit_buf        name; /* the job's */
} ckiti_replay;

/* Puts itself between `cache` and the store it has. CKIT_E_NO_MEMORY. */
ckit_status ckiti_replay_init(struct ckit_cache *cache);
/* Fills the table of operations (replay_store.c). */
void ckiti_replay_fill_table(ckiti_replay *replay);
/* Before the workers end: what is under way ends soon. */
void ckiti_replay_stop(struct ckit_cache *cache);
/* After they have ended, while the store is open: one try, within CKITI_REPLAY_CLOSE_MS, then everything is given
 * back. */
void ckiti_replay_fini(struct ckit_cache *cache);

static inline bool ckiti_replay_is_quiet(const ckiti_replay *replay) {
    return atomic_load_explicit(&replay->changes.count, memory_order_acquire) == 0;
}

/* Locks are to be let go, and no job is to do it: it could not be submitted, or stayed behind in the parent. */
static inline bool ckiti_replay_sleeps(const ckiti_replay *replay) {
    return !ckiti_loose_is_empty(&replay->loose) && atomic_load(&replay->state) == CKITI_REPLAY_IDLE;
}
/* Then it is submitted. */
void ckiti_replay_wake(struct ckit_cache *cache);
/* What the store has under the key is not to be believed. Submits the job too. */
bool ckiti_replay_distrusts(struct ckit_cache *cache, ckit_slice key);
/* Before a change of the key; what ckiti_replay_changed is told afterwards. 0: nothing is remembered of it. */
uint64_t ckiti_replay_serial(struct ckit_cache *cache, ckit_slice key);
/* A change of the key has succeeded, which began when its serial was that. */
void ckiti_replay_changed(struct ckit_cache *cache, ckit_slice key, uint64_t serial);
/* A change failed; `late`: it may still take effect. Without a store nothing happens. */
void ckiti_replay_missed(struct ckit_cache *cache, ckit_slice key, bool late);
void ckiti_replay_missed_scope(struct ckit_cache *cache, const ckit_scope *scope, bool late);
/* The store may hold this lock, and nobody here does; `may_come`: it may be taken only now. */
void ckiti_replay_loose(struct ckit_cache *cache, ckit_slice key, const ckit_lease *lease, bool may_come);

/* ---- replay.c and replay_job.c ---- */

/* With the lock held: the job runs when the first change or lock is due. */
void ckiti_replay_schedule(struct ckit_cache *cache);
/* The store was away just now: it is left alone for a while. */
void ckiti_replay_pause(struct ckit_cache *cache);
/* The job. */
void ckiti_replay_run(ckiti_job *job);
/* With the lock held, of a cache that closes: one pass over all. Returns what is left of the changes, neither made up for
 * nor waiting only to be removed once more. */
size_t ckiti_replay_try_once(struct ckit_cache *cache);

void ckiti_replay_fork_prepare(ckiti_replay *replay);
void ckiti_replay_fork_parent(ckiti_replay *replay);
/* The child makes up for what is remembered too, with its first read of the store: nobody knows who of the two lives
 * longer, and twice does no harm. */
void ckiti_replay_fork_child(ckiti_replay *replay);

#endif
