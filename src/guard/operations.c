/* The guard's table of operations: each hands the store's own function to the same walk. */
#include "guard/guard.h"

#include "base/alloc.h"
#include "base/random.h"

#include <string.h>

/* Large values and batches take longer than a window of small ones knows: they get a millisecond more for each 32 KiB
 * that are written and each 16 keys that are asked for. */
#define BYTES_PER_MS 32768u
#define KEYS_PER_MS 16u

/* One call of the contract: the function that makes it, and its arguments. Each uses what it needs. */
typedef struct operation {
    ckit_status (*run)(const ckiti_guard *guard, const struct operation *o, uint64_t deadline_ms, ckit_error *err);
    /* Puts right what a failed attempt left behind; NULL = nothing can be. */
    void (*undo)(const struct operation *o);
    unsigned               traits;
    uint64_t               weight_ms;
    ckit_slice             key;
    ckit_slice             value;
    const ckit_entry_info *info;
    uint64_t               ms; /* a lifetime or a lease */
    ckit_buf              *out;
    uint64_t              *life_ms;
    ckit_lease            *lease;
    const ckit_lease      *held;
    const ckit_slice      *keys;
    const ckit_slice      *values;
    size_t                 count;
    ckit_status           *answers;
} operation;

/* What an answer says about the store. A batch of which every key failed the same way is a failure of the store, though
 * its call was none. */
static ckit_status judge(const operation *o, ckit_status st) {
    if (st != CKIT_OK || o->count == 0) {
        return st;
    }
    for (size_t i = 0; i < o->count; i++) {
        if (o->answers[i] < CKIT_E_FIRST || o->answers[i] != o->answers[0]) {
            return st;
        }
    }
    return o->answers[0];
}

/* ---- the walk ---------------------------------------------------------------------------------------------------------- */

/* One attempt on its way. */
typedef struct attempt {
    ckiti_visit visit;
    uint32_t    count;    /* this is the first, the second ... */
    uint64_t    pause_ms; /* before the next, when there is to be one */
} attempt;

/* Is a failed attempt to be followed by another? A probe is not: it tells the breaker what it saw, at once. */
static bool wants_another(const ckiti_guard *guard, const operation *o, attempt *a, uint64_t now_us, ckit_status judged,
                          ckit_error_kind kind) {
    if (kind == CKIT_KIND_NONE || (o->traits & CKITI_TRAIT_REPEATS) == 0 || a->visit.pass.serial != 0 ||
        !ckiti_retry_wants(&guard->retry, a->count, judged, kind)) {
        return false;
    }
    a->pause_ms = ckiti_retry_pause_ms(&guard->retry, a->count, ckiti_random_u64());
    return ckiti_time_left(now_us / 1000, a->visit.deadline_ms) > a->pause_ms;
}

/* Asks the store; true when it is to be asked again. To the breaker all attempts are one operation: only the last, or
 * the one that works, counts. */
static bool attempt_fails(ckiti_guard *guard, const operation *o, attempt *a, ckit_status *st, ckit_error *err) {
    *st = o->run(guard, o, a->visit.deadline_ms, err);
    uint64_t        now_us = ckiti_guard_now_us(guard);
    ckit_status     judged = judge(o, *st);
    ckit_error_kind kind = ckiti_guard_kind(judged, err);
    bool            again = wants_another(guard, o, a, now_us, judged, kind);
    ckiti_guard_leave(guard, &a->visit, now_us, judged, kind, again, err);
    return again;
}

/* Second and further attempts, within the deadline of the first. */
static ckit_status try_again(ckiti_guard *guard, const operation *o, attempt *a, ckit_status st, ckit_error *err) {
    bool again = true;
    for (; again; a->count++) {
        guard->sleep_ms(a->pause_ms);
        if (ckiti_guard_enter(guard, o->traits, ckiti_guard_now_us(guard), a->visit.deadline_ms, o->weight_ms,
                              &a->visit, NULL) != CKIT_OK) {
            return st; /* the store's own story is the better one */
        }
        atomic_fetch_add_explicit(&guard->retries, 1, memory_order_relaxed);
        if (o->undo != NULL) {
            o->undo(o);
        }
        if (err != NULL) {
            *err = (ckit_error)CKIT_ERROR_INIT;
        }
        again = attempt_fails(guard, o, a, &st, err);
    }
    if (judge(o, st) < CKIT_E_FIRST) {
        atomic_fetch_add_explicit(&guard->recovered, 1, memory_order_relaxed);
    }
    return st;
}

/* `self` is the guard. */
static ckit_status walk(void *self, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    ckiti_guard *guard = self;
    attempt      a = {.count = 1};
    ckit_status  st =
        ckiti_guard_enter(guard, o->traits, ckiti_guard_now_us(guard), deadline_ms, o->weight_ms, &a.visit, err);
    if (st == CKIT_OK && attempt_fails(guard, o, &a, &st, err)) {
        a.count = 2;
        return try_again(guard, o, &a, st, err);
    }
    return st;
}

/* ---- reads and writes ---------------------------------------------------------------------------------------------------- */

#define LARGE (CKITI_TRAIT_PLACE | CKITI_TRAIT_REPEATS)
/* What removes or prolongs is small, and turning it away leaves a wrong entry behind: no place needed. */
#define SMALL CKITI_TRAIT_REPEATS

static ckit_status run_get(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->get(guard->store, o->key, deadline_ms, o->out, o->life_ms, err);
}

static ckit_status guarded_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                               ckit_error *err) {
    operation o = {.run = run_get, .traits = LARGE, .key = key, .out = out, .life_ms = life_ms};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_set(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->set(guard->store, o->key, o->value, o->info, deadline_ms, err);
}

static ckit_status guarded_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                               uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_set,
                   .traits = LARGE,
                   .weight_ms = value.len / BYTES_PER_MS,
                   .key = key,
                   .value = value,
                   .info = info};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_remove(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->remove(guard->store, o->key, deadline_ms, err);
}

static ckit_status guarded_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_remove, .traits = SMALL, .key = key};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_exists(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->exists(guard->store, o->key, deadline_ms, err);
}

static ckit_status guarded_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_exists, .traits = LARGE, .key = key};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_ttl(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->ttl(guard->store, o->key, deadline_ms, o->life_ms, err);
}

static ckit_status guarded_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    operation o = {.run = run_ttl, .traits = SMALL, .key = key, .life_ms = life_ms};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_touch(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->touch(guard->store, o->key, o->ms, deadline_ms, err);
}

static ckit_status guarded_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_touch, .traits = SMALL, .key = key, .ms = ttl_ms};
    return walk(self, &o, deadline_ms, err);
}

/* ---- batches --------------------------------------------------------------------------------------------------------------- */

static ckit_status run_get_many(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->get_many(guard->store, o->keys, o->count, deadline_ms, o->out, o->life_ms, o->answers, err);
}

static void empty_all(const operation *o) {
    for (size_t i = 0; i < o->count; i++) {
        o->out[i].len = 0;
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
    operation o = {.run = run_get_many,
                   .undo = empty_all,
                   /* What an attempt appended to buffers that held something could not be told apart. */
                   .traits = all_empty(out, count) ? LARGE : CKITI_TRAIT_PLACE,
                   .weight_ms = count / KEYS_PER_MS,
                   .keys = keys,
                   .count = count,
                   .out = out,
                   .life_ms = life_ms,
                   .answers = answers};
    return walk(self, &o, deadline_ms, err);
}

/* `info` points to the first of them all. */
static ckit_status run_set_many(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->set_many(guard->store, o->keys, o->values, o->info, o->count, deadline_ms, o->answers, err);
}

static ckit_status guarded_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                    const ckit_entry_info *infos, size_t count, uint64_t deadline_ms,
                                    ckit_status *answers, ckit_error *err) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += values[i].len;
    }
    operation o = {.run = run_set_many,
                   .traits = LARGE,
                   .weight_ms = count / KEYS_PER_MS + bytes / BYTES_PER_MS,
                   .keys = keys,
                   .values = values,
                   .info = infos,
                   .count = count,
                   .answers = answers};
    return walk(self, &o, deadline_ms, err);
}

/* ---- locks ------------------------------------------------------------------------------------------------------------------- */

static ckit_status run_lock_try(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->lock_try(guard->store, o->key, o->ms, deadline_ms, o->lease, err);
}

static ckit_status guarded_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms,
                                    ckit_lease *lease, ckit_error *err) {
    operation o = {.run = run_lock_try, .traits = CKITI_TRAIT_LOCK, .key = key, .ms = lease_ms, .lease = lease};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_lock_renew(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms, ckit_error *err) {
    return guard->inner->lock_renew(guard->store, o->key, o->held, o->ms, deadline_ms, err);
}

/* A lock that is held is kept and let go whatever the breaker thinks: others wait for it, and there are few. */
static ckit_status guarded_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                      uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_lock_renew,
                   .traits = CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS,
                   .key = key,
                   .ms = lease_ms,
                   .held = lease};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_lock_release(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms,
                                    ckit_error *err) {
    return guard->inner->lock_release(guard->store, o->key, o->held, deadline_ms, err);
}

static ckit_status guarded_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                        ckit_error *err) {
    operation o = {.run = run_lock_release, .traits = CKITI_TRAIT_LOCK | CKITI_TRAIT_ALWAYS, .key = key, .held = lease};
    return walk(self, &o, deadline_ms, err);
}

static ckit_status run_set_if_owner(const ckiti_guard *guard, const operation *o, uint64_t deadline_ms,
                                    ckit_error *err) {
    return guard->inner->set_if_owner(guard->store, o->key, o->value, o->info, o->held, deadline_ms, err);
}

/* Not tried again: the lease may be lost between two attempts that look like one to the caller. */
static ckit_status guarded_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                        const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    operation o = {.run = run_set_if_owner,
                   .traits = CKITI_TRAIT_PLACE,
                   .weight_ms = value.len / BYTES_PER_MS,
                   .key = key,
                   .value = value,
                   .info = info,
                   .held = lease};
    return walk(self, &o, deadline_ms, err);
}

/* ---- without waiting ------------------------------------------------------------------------------------------------------- */

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
    ckiti_guard_leave(s->guard, &s->visit, ckiti_guard_now_us(s->guard), status,
                      ckiti_guard_kind(status, &request->error), false, &request->error);
    hand_back(request, s);
    request->done(request, status);
}

static ckit_status guarded_submit(void *self, ckit_request *request, ckit_error *err) {
    ckiti_guard *guard = self;
    unsigned     traits = request->kind == CKIT_REQUEST_REMOVE ? 0 : CKITI_TRAIT_PLACE | CKITI_TRAIT_NO_WAIT;
    uint64_t     weight_ms = request->kind == CKIT_REQUEST_SET ? request->value.len / BYTES_PER_MS : 0;
    uint64_t     now_us = ckiti_guard_now_us(guard);
    stand_in    *s = ckiti_alloc(guard->alloc, sizeof *s);
    if (s == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "guard", "no memory for a request");
    }
    *s = (stand_in){
        .guard = guard, .deadline_ms = request->deadline_ms, .done = request->done, .context = request->context};
    ckit_status st = ckiti_guard_enter(guard, traits, now_us, request->deadline_ms, weight_ms, &s->visit, err);
    if (st != CKIT_OK) {
        ckiti_free(guard->alloc, s, sizeof *s);
        return st;
    }
    request->done = store_is_done;
    request->context = s;
    request->deadline_ms = s->visit.deadline_ms;
    st = guard->inner->submit(guard->store, request, err);
    if (st != CKIT_PENDING) { /* not taken: nothing was learnt */
        ckiti_guard_give_up(guard, &s->visit, now_us);
        hand_back(request, s);
    }
    return st;
}

/* ---- straight through ----------------------------------------------------------------------------------------------------- */

static void through_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    const ckiti_guard *guard = self;
    guard->inner->health(guard->store, deadline_ms, out);
}

static ckit_status through_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                                void *context, ckit_error *err) {
    const ckiti_guard *guard = self;
    return guard->inner->list(guard->store, scope, deadline_ms, each, context, err);
}

static ckit_status through_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                        ckit_error *err) {
    const ckiti_guard *guard = self;
    return guard->inner->delete_scope(guard->store, scope, deadline_ms, out, err);
}

static ckit_slice through_key_prefix(void *self) {
    const ckiti_guard *guard = self;
    return guard->inner->key_prefix(guard->store);
}

static ckit_status through_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context,
                                 int64_t *since_wall_ms, ckit_error *err) {
    const ckiti_guard *guard = self;
    return guard->inner->stats(guard->store, deadline_ms, each, context, since_wall_ms, err);
}

static ckit_status through_sweep(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err) {
    const ckiti_guard *guard = self;
    return guard->inner->sweep(guard->store, deadline_ms, out, err);
}

static ckit_status through_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    const ckiti_guard *guard = self;
    return guard->inner->watch(guard->store, sink, err);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

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
    };
}
