/* The guard's table of operations: each hands the store's own function to the same walk. */
#include "guard/visit.h"

#include "base/alloc.h"
#include "base/random.h"

#include <errno.h>
#include <string.h>

/* Large values and batches take longer than a window of small ones knows: they get a millisecond more for each 32 KiB
 * that are written and each 16 keys that are asked for. */
#define BYTES_PER_MS 32768u
#define KEYS_PER_MS 16u

/* An operation of the contract; `args` is a struct of its own arguments. */
typedef struct operation {
    ckit_status (*run)(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err);
    /* What an answer says about the store; NULL = what it is. */
    ckit_status (*judge)(const void *args, ckit_status st);
    /* Takes away what a failed attempt left behind; NULL = it leaves nothing. */
    void (*clear)(const void *args);
    unsigned traits;
} operation;

static inline __attribute__((always_inline)) ckit_status judge(const operation *o, const void *args, ckit_status st) {
    return o->judge == NULL ? st : o->judge(args, st);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

/* What others have waited for in vain, or found out just now: nobody is answered at the moment, and a second question
 * would end the same way. */
static bool is_known_silence(ckit_status judged, ckit_error_kind kind, const ckit_error *err) {
    return kind == CKIT_KIND_TIMEOUT && err->status == judged &&
           (err->sys_errno == EAGAIN || err->sys_errno == EINPROGRESS);
}

/* How long to pause before the next attempt, in *pause_ms; false when there is to be none. A probe is not repeated: it
 * tells the breaker what it saw, at once. Nor does anybody wait for a store of which the last operation failed with all
 * its attempts: one has waited, and until one succeeds nobody else does. */
static bool wants_another(const ckiti_guard *guard, unsigned traits, const ckiti_visit *visit, uint32_t attempts,
                          uint64_t now_us, ckit_status judged, ckit_error_kind kind, const ckit_error *err,
                          uint64_t *pause_ms) {
    if (is_known_silence(judged, kind, err) || (traits & CKITI_TRAIT_REPEATS) == 0 || visit->pass.serial != 0 ||
        ckiti_breaker_is_troubled(&guard->breaker) ||
        !ckiti_retry_wants(&guard->retry, attempts, (traits & CKITI_TRAIT_WRITES) != 0, judged, kind)) {
        return false;
    }
    *pause_ms = ckiti_retry_pause_ms(&guard->retry, attempts, ckiti_random_u64());
    return ckiti_time_left(now_us / 1000, visit->deadline_ms) > *pause_ms;
}

/* Ends a failed attempt; true when it is to be followed by another. To the breaker all attempts are one operation: only
 * the last counts. */
static bool end_failed(ckiti_guard *guard, unsigned traits, const ckiti_visit *visit, uint32_t attempts,
                       uint64_t now_us, ckit_status judged, const ckit_error *err, uint64_t *pause_ms) {
    ckit_error_kind kind = ckiti_guard_kind(judged, err);
    bool            again = wants_another(guard, traits, visit, attempts, now_us, judged, kind, err, pause_ms);
    ckiti_guard_leave_failed(guard, visit, now_us, judged, kind, again, err);
    return again;
}

static void clear(const operation *o, const void *args, ckit_error *err) {
    if (o->clear != NULL) {
        o->clear(args);
    }
    if (err != NULL) {
        *err = (ckit_error)CKIT_ERROR_INIT;
    }
}

/* The first attempt failed with `st`. Further ones happen within its deadline, whatever they would get by
 * themselves. */
static __attribute__((noinline)) ckit_status failed(const ckiti_guarded *at, const operation *o, const void *args,
                                                    ckiti_visit *visit, uint64_t now_us, ckit_status st,
                                                    ckit_error *err) {
    ckiti_guard *guard = at->guard;
    uint64_t     pause_ms;
    uint64_t     deadline_ms = visit->deadline_ms;
    for (uint32_t attempts = 1;
         end_failed(guard, o->traits, visit, attempts, now_us, judge(o, args, st), err, &pause_ms); attempts++) {
        guard->sleep_ms(pause_ms);
        if (ckiti_guard_enter(guard, at, o->traits, ckiti_guard_now_us(guard), deadline_ms, 0, visit, NULL) !=
            CKIT_OK) {
            break; /* the store's own story is the better one */
        }
        atomic_fetch_add_explicit(&guard->retries, 1, memory_order_relaxed);
        clear(o, args, err);
        st = o->run(at, args, visit->deadline_ms, err);
        now_us = ckiti_guard_now_us(guard);
        if (judge(o, args, st) < CKIT_E_FIRST) {
            ckiti_guard_leave_well(guard, visit, now_us);
            atomic_fetch_add_explicit(&guard->recovered, 1, memory_order_relaxed);
            break;
        }
    }
    return st;
}

/* `self` is the guarded store. Inline, so that each operation becomes straight code while all is well. */
static inline __attribute__((always_inline)) ckit_status
walk(void *self, const operation *o, const void *args, uint64_t weight_ms, uint64_t deadline_ms, ckit_error *err) {
    const ckiti_guarded *at = self;
    ckiti_guard         *guard = at->guard;
    ckiti_visit          visit;
    ckit_error           own;
    if (err == NULL) { /* what a failure counts for stands there */
        own.status = CKIT_OK;
        err = &own;
    }
    ckit_status st =
        ckiti_guard_enter(guard, at, o->traits, ckiti_guard_now_us(guard), deadline_ms, weight_ms, &visit, err);
    if (st != CKIT_OK) {
        return st;
    }
    st = o->run(at, args, visit.deadline_ms, err);
    uint64_t now_us = ckiti_guard_now_us(guard);
    if (judge(o, args, st) >= CKIT_E_FIRST) {
        return failed(at, o, args, &visit, now_us, st, err);
    }
    ckiti_guard_leave_well(guard, &visit, now_us);
    return st;
}

#define LARGE (CKITI_TRAIT_PLACE | CKITI_TRAIT_REPEATS)
/* What removes or prolongs is small, and turning it away leaves a wrong entry behind: no place needed. */
#define SMALL CKITI_TRAIT_REPEATS

/* ---- reading and writing ----------------------------------------------------------------------------------------- */

typedef struct reading {
    ckit_slice key;
    ckit_buf  *out;
    uint64_t  *life_ms;
} reading;

static ckit_status run_get(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const reading *a = args;
    return at->inner->get(at->store, a->key, deadline_ms, a->out, a->life_ms, err);
}

static ckit_status guarded_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                               ckit_error *err) {
    static const operation get = {.run = run_get, .traits = LARGE};
    const reading          args = {key, out, life_ms};
    return walk(self, &get, &args, 0, deadline_ms, err);
}

static ckit_status run_ttl(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const reading *a = args;
    return at->inner->ttl(at->store, a->key, deadline_ms, a->life_ms, err);
}

static ckit_status guarded_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    static const operation ttl = {.run = run_ttl, .traits = SMALL};
    const reading          args = {key, NULL, life_ms};
    return walk(self, &ttl, &args, 0, deadline_ms, err);
}

typedef struct writing {
    ckit_slice             key;
    ckit_slice             value;
    const ckit_entry_info *info;
    const ckit_lease      *lease;
} writing;

static ckit_status run_set(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const writing *a = args;
    return at->inner->set(at->store, a->key, a->value, a->info, deadline_ms, err);
}

static ckit_status guarded_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                               uint64_t deadline_ms, ckit_error *err) {
    static const operation set = {.run = run_set, .traits = LARGE | CKITI_TRAIT_WRITES};
    const writing          args = {key, value, info, NULL};
    return walk(self, &set, &args, value.len / BYTES_PER_MS, deadline_ms, err);
}

static ckit_status run_set_if_owner(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const writing *a = args;
    return at->inner->set_if_owner(at->store, a->key, a->value, a->info, a->lease, deadline_ms, err);
}

/* Not tried again: the lease may be lost between two attempts that look like one to the caller. */
static ckit_status guarded_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                        const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    static const operation set_if_owner = {.run = run_set_if_owner, .traits = CKITI_TRAIT_PLACE};
    const writing          args = {key, value, info, lease};
    return walk(self, &set_if_owner, &args, value.len / BYTES_PER_MS, deadline_ms, err);
}

typedef struct replacing {
    ckit_slice key;
    ckit_slice expected;
    ckit_slice value;
} replacing;

static ckit_status run_replace(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const replacing *a = args;
    return at->inner->replace(at->store, a->key, a->expected, a->value, deadline_ms, err);
}

/* Not tried again: a first attempt whose answer was lost would look like somebody else's value. */
static ckit_status guarded_replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value,
                                   uint64_t deadline_ms, ckit_error *err) {
    static const operation replace = {.run = run_replace, .traits = CKITI_TRAIT_PLACE};
    const replacing        args = {key, expected, value};
    return walk(self, &replace, &args, (expected.len + value.len) / BYTES_PER_MS, deadline_ms, err);
}

typedef struct changing {
    ckit_slice key;
    uint64_t   ttl_ms;
} changing;

static ckit_status run_remove(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const changing *a = args;
    return at->inner->remove(at->store, a->key, deadline_ms, err);
}

static ckit_status guarded_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    static const operation remove = {.run = run_remove, .traits = SMALL};
    const changing         args = {key, 0};
    return walk(self, &remove, &args, 0, deadline_ms, err);
}

static ckit_status run_exists(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const changing *a = args;
    return at->inner->exists(at->store, a->key, deadline_ms, err);
}

static ckit_status guarded_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    static const operation exists = {.run = run_exists, .traits = LARGE};
    const changing         args = {key, 0};
    return walk(self, &exists, &args, 0, deadline_ms, err);
}

static ckit_status run_touch(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const changing *a = args;
    return at->inner->touch(at->store, a->key, a->ttl_ms, deadline_ms, err);
}

static ckit_status guarded_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    static const operation touch = {.run = run_touch, .traits = SMALL | CKITI_TRAIT_WRITES};
    const changing         args = {key, ttl_ms};
    return walk(self, &touch, &args, 0, deadline_ms, err);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

typedef struct batch {
    const ckit_slice      *keys;
    const ckit_slice      *values;
    const ckit_entry_info *infos;
    size_t                 count;
    ckit_buf              *out;
    uint64_t              *life_ms;
    ckit_status           *answers;
} batch;

/* A batch of which every key failed the same way is a failure of the store, though its call was none. */
static ckit_status judge_batch(const void *args, ckit_status st) {
    const batch *a = args;
    if (st != CKIT_OK || a->count == 0) {
        return st;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->answers[i] < CKIT_E_FIRST || a->answers[i] != a->answers[0]) {
            return st;
        }
    }
    return a->answers[0];
}

static ckit_status run_get_many(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const batch *a = args;
    return at->inner->get_many(at->store, a->keys, a->count, deadline_ms, a->out, a->life_ms, a->answers, err);
}

static void empty_all(const void *args) {
    const batch *a = args;
    for (size_t i = 0; i < a->count; i++) {
        a->out[i].len = 0;
    }
}

static bool all_empty(const ckit_buf *out, size_t count) {
    size_t i = 0;
    while (i < count && out[i].len == 0) {
        i++;
    }
    return i == count;
}

static ckit_status guarded_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms,
                                    ckit_buf *out, uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    static const operation get_many = {run_get_many, judge_batch, empty_all, LARGE};
    /* What an attempt appended to buffers that held something could not be told apart. */
    static const operation get_once = {run_get_many, judge_batch, NULL, CKITI_TRAIT_PLACE};
    const batch            args = {keys, NULL, NULL, count, out, life_ms, answers};
    return walk(self, all_empty(out, count) ? &get_many : &get_once, &args, count / KEYS_PER_MS, deadline_ms, err);
}

static uint64_t weight_of(const ckit_slice *values, size_t count) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += values[i].len;
    }
    return count / KEYS_PER_MS + bytes / BYTES_PER_MS;
}

static ckit_status run_set_many(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const batch *a = args;
    return at->inner->set_many(at->store, a->keys, a->values, a->infos, a->count, deadline_ms, a->answers, err);
}

static ckit_status guarded_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                    const ckit_entry_info *infos, size_t count, uint64_t deadline_ms,
                                    ckit_status *answers, ckit_error *err) {
    static const operation set_many = {run_set_many, judge_batch, NULL, LARGE | CKITI_TRAIT_WRITES};
    const batch            args = {keys, values, infos, count, NULL, NULL, answers};
    return walk(self, &set_many, &args, weight_of(values, count), deadline_ms, err);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

typedef struct locking {
    ckit_slice        key;
    uint64_t          lease_ms;
    ckit_lease       *taken;
    const ckit_lease *held;
} locking;

static ckit_status run_lock_try(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const locking *a = args;
    return at->inner->lock_try(at->store, a->key, a->lease_ms, deadline_ms, a->taken, err);
}

static ckit_status guarded_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms,
                                    ckit_lease *lease, ckit_error *err) {
    static const operation lock_try = {.run = run_lock_try, .traits = CKITI_TRAIT_LOCK};
    const locking          args = {key, lease_ms, lease, NULL};
    return walk(self, &lock_try, &args, 0, deadline_ms, err);
}

static ckit_status run_lock_renew(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const locking *a = args;
    return at->inner->lock_renew(at->store, a->key, a->held, a->lease_ms, deadline_ms, err);
}

/* A lock that is held is kept and let go whatever the breaker thinks: others wait for it, and there are few. */
static ckit_status guarded_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                      uint64_t deadline_ms, ckit_error *err) {
    static const operation lock_renew = {.run = run_lock_renew, .traits = CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS};
    const locking          args = {key, lease_ms, NULL, lease};
    return walk(self, &lock_renew, &args, 0, deadline_ms, err);
}

static ckit_status run_lock_release(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const locking *a = args;
    return at->inner->lock_release(at->store, a->key, a->held, deadline_ms, err);
}

static ckit_status guarded_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                        ckit_error *err) {
    static const operation lock_release = {.run = run_lock_release, .traits = CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS};
    const locking          args = {key, 0, NULL, lease};
    return walk(self, &lock_release, &args, 0, deadline_ms, err);
}

typedef struct locking_many {
    batch             batch; /* first: judge_batch reads its answers */
    uint64_t          lease_ms;
    ckit_lease       *taken;
    const ckit_lease *held;
} locking_many;

static ckit_status run_lock_try_many(const ckiti_guarded *at, const void *args, uint64_t deadline_ms, ckit_error *err) {
    const locking_many *a = args;
    return at->inner->lock_try_many(at->store, a->batch.keys, a->batch.count, a->lease_ms, deadline_ms, a->taken,
                                    a->batch.answers, err);
}

static ckit_status guarded_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                         uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers,
                                         ckit_error *err) {
    static const operation lock_try_many = {run_lock_try_many, judge_batch, NULL, CKITI_TRAIT_LOCK};
    const locking_many     args = {{.keys = keys, .count = count, .answers = answers}, lease_ms, leases, NULL};
    return walk(self, &lock_try_many, &args, count / KEYS_PER_MS, deadline_ms, err);
}

static ckit_status run_lock_renew_many(const ckiti_guarded *at, const void *args, uint64_t deadline_ms,
                                       ckit_error *err) {
    const locking_many *a = args;
    return at->inner->lock_renew_many(at->store, a->batch.keys, a->held, a->batch.count, a->lease_ms, deadline_ms,
                                      a->batch.answers, err);
}

static ckit_status guarded_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                           uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers,
                                           ckit_error *err) {
    static const operation lock_renew_many = {run_lock_renew_many, judge_batch, NULL,
                                              CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS};
    const locking_many     args = {{.keys = keys, .count = count, .answers = answers}, lease_ms, NULL, leases};
    return walk(self, &lock_renew_many, &args, count / KEYS_PER_MS, deadline_ms, err);
}

static ckit_status run_lock_release_many(const ckiti_guarded *at, const void *args, uint64_t deadline_ms,
                                         ckit_error *err) {
    const locking_many *a = args;
    return at->inner->lock_release_many(at->store, a->batch.keys, a->held, a->batch.count, deadline_ms,
                                        a->batch.answers, err);
}

static ckit_status guarded_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                             uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    static const operation lock_release_many = {run_lock_release_many, judge_batch, NULL,
                                                CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS};
    const locking_many     args = {{.keys = keys, .count = count, .answers = answers}, 0, NULL, leases};
    return walk(self, &lock_release_many, &args, count / KEYS_PER_MS, deadline_ms, err);
}

static ckit_status run_set_many_if_owner(const ckiti_guarded *at, const void *args, uint64_t deadline_ms,
                                         ckit_error *err) {
    const locking_many *a = args;
    const batch        *b = &a->batch;
    return at->inner->set_many_if_owner(at->store, b->keys, b->values, b->infos, a->held, b->count, deadline_ms,
                                        b->answers, err);
}

/* Not tried again, as guarded_set_if_owner. */
static ckit_status guarded_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                             const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                             uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    static const operation set_many_if_owner = {run_set_many_if_owner, judge_batch, NULL, CKITI_TRAIT_PLACE};
    const locking_many     args = {{keys, values, infos, count, NULL, NULL, answers}, 0, NULL, leases};
    return walk(self, &set_many_if_owner, &args, weight_of(values, count), deadline_ms, err);
}

/* ---- without waiting --------------------------------------------------------------------------------------------- */

/* Stands in for the submitter while the store has his request. */
typedef struct stand_in {
    ckiti_guard *guard;
    ckiti_visit  visit;
    uint64_t     deadline_ms;
    void (*done)(ckit_request *request, ckit_status status);
    void *context;
} stand_in;

/* Makes the request what it was. */
static void hand_back(ckit_request *request, stand_in *s) {
    request->done = s->done;
    request->context = s->context;
    request->deadline_ms = s->deadline_ms;
    ckiti_free(s->guard->alloc, s, sizeof *s);
}

static void store_is_done(ckit_request *request, ckit_status status) {
    stand_in *s = request->context;
    uint64_t  now_us = ckiti_guard_now_us(s->guard);
    if (status < CKIT_E_FIRST) {
        ckiti_guard_leave_well(s->guard, &s->visit, now_us);
    } else {
        ckiti_guard_leave_failed(s->guard, &s->visit, now_us, status, ckiti_guard_kind(status, &request->error), false,
                                 &request->error);
    }
    hand_back(request, s);
    request->done(request, status);
}

static ckit_status guarded_submit(void *self, ckit_request *request, ckit_error *err) {
    const ckiti_guarded *at = self;
    ckiti_guard         *guard = at->guard;
    unsigned             traits = request->kind == CKIT_REQUEST_REMOVE ? 0 : CKITI_TRAIT_PLACE | CKITI_TRAIT_NO_WAIT;
    uint64_t             weight_ms = request->kind == CKIT_REQUEST_SET ? request->value.len / BYTES_PER_MS : 0;
    uint64_t             now_us = ckiti_guard_now_us(guard);
    stand_in            *s = ckiti_alloc(guard->alloc, sizeof *s);
    if (s == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "guard", "no memory for a request");
    }
    *s = (stand_in){
        .guard = guard, .deadline_ms = request->deadline_ms, .done = request->done, .context = request->context};
    ckit_status st = ckiti_guard_enter(guard, at, traits, now_us, request->deadline_ms, weight_ms, &s->visit, err);
    if (st != CKIT_OK) {
        ckiti_free(guard->alloc, s, sizeof *s);
        return st;
    }
    request->done = store_is_done;
    request->context = s;
    request->deadline_ms = s->visit.deadline_ms;
    st = at->inner->submit(at->store, request, err);
    if (st != CKIT_PENDING) { /* not taken: nothing was learnt */
        ckiti_guard_give_up(guard, &s->visit, now_us);
        hand_back(request, s);
    }
    return st;
}

/* ---- straight through -------------------------------------------------------------------------------------------- */

static void through_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    const ckiti_guarded *at = self;
    at->inner->health(at->store, deadline_ms, out);
}

static ckit_status through_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                                void *context, ckit_error *err) {
    const ckiti_guarded *at = self;
    return at->inner->list(at->store, scope, deadline_ms, each, context, err);
}

static ckit_status through_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                        ckit_error *err) {
    const ckiti_guarded *at = self;
    return at->inner->delete_scope(at->store, scope, deadline_ms, out, err);
}

static ckit_slice through_key_prefix(void *self) {
    const ckiti_guarded *at = self;
    return at->inner->key_prefix(at->store);
}

static ckit_status through_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context,
                                 int64_t *since_wall_ms, ckit_error *err) {
    const ckiti_guarded *at = self;
    return at->inner->stats(at->store, deadline_ms, each, context, since_wall_ms, err);
}

static ckit_status through_sweep(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err) {
    const ckiti_guarded *at = self;
    return at->inner->sweep(at->store, deadline_ms, out, err);
}

static void through_hurry(void *self) {
    const ckiti_guarded *at = self;
    at->inner->hurry(at->store);
}

static ckit_status through_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    const ckiti_guarded *at = self;
    return at->inner->watch(at->store, sink, err);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define WHERE_THE_STORE_HAS(field, function) .field = inner->field != NULL ? (function) : NULL

void ckiti_guard_fill_table(ckit_backend_ops *ops, const ckit_backend_ops *inner) {
    *ops = (ckit_backend_ops){
        .abi = inner->abi,
        .name = inner->name,
        .get = guarded_get,
        .set = guarded_set,
        .remove = guarded_remove,
        .exists = guarded_exists,
        .health = through_health,
        WHERE_THE_STORE_HAS(ttl, guarded_ttl),
        WHERE_THE_STORE_HAS(touch, guarded_touch),
        WHERE_THE_STORE_HAS(get_many, guarded_get_many),
        WHERE_THE_STORE_HAS(set_many, guarded_set_many),
        WHERE_THE_STORE_HAS(submit, guarded_submit),
        WHERE_THE_STORE_HAS(list, through_list),
        WHERE_THE_STORE_HAS(delete_scope, through_delete_scope),
        WHERE_THE_STORE_HAS(lock_try, guarded_lock_try),
        WHERE_THE_STORE_HAS(lock_renew, guarded_lock_renew),
        WHERE_THE_STORE_HAS(lock_release, guarded_lock_release),
        WHERE_THE_STORE_HAS(set_if_owner, guarded_set_if_owner),
        WHERE_THE_STORE_HAS(key_prefix, through_key_prefix),
        WHERE_THE_STORE_HAS(stats, through_stats),
        WHERE_THE_STORE_HAS(sweep, through_sweep),
        WHERE_THE_STORE_HAS(watch, through_watch),
        WHERE_THE_STORE_HAS(hurry, through_hurry),
        WHERE_THE_STORE_HAS(lock_try_many, guarded_lock_try_many),
        WHERE_THE_STORE_HAS(lock_renew_many, guarded_lock_renew_many),
        WHERE_THE_STORE_HAS(lock_release_many, guarded_lock_release_many),
        WHERE_THE_STORE_HAS(set_many_if_owner, guarded_set_many_if_owner),
        WHERE_THE_STORE_HAS(replace, guarded_replace),
    };
}
