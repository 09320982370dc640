/* Many calls as one: what the store is asked, and told, in as few round trips as it allows. */
#include "cache/batch.h"

#include "cache/refresh.h"
#include "cache/stale.h"
#include "cache/store.h"

#include <cachekit/value.h>

/* A value that was served although it is over is computed anew, as after a single call. */
static void refresh(ckit_batch *b, size_t i) {
    const ckit_op *op = b->rows[i].op;
    ckiti_joined   joined = {{0}};
    ckiti_memkey   memkey;
    ckit_slice     packed;
    ckit_args      none, *args;
    if (b->function->loader == NULL) {
        return;
    }
    ckiti_memkey_copy(&memkey, op->memkey);
    ckit_args *given = op->has_args ? &b->rows[i].op->args : b->args[i];
    if (ckiti_call_pack(given, &none, &args, &packed, NULL) == CKIT_OK &&
        ckiti_call_join(b->function, args, &joined, &packed, NULL) == CKIT_OK) {
        ckiti_refresh_in_background(b->function, args, packed, &memkey, op->hash);
    }
    ckiti_call_join_end(&joined);
}

void ckiti_batch_took(ckit_batch *b, size_t i, ckit_status st) {
    ckit_op *op = b->rows[i].op;
    if (st == CKIT_PENDING) {
        b->rows[i].state = op->retry_at_ms != 0 ? CKITI_ROW_WAITS : CKITI_ROW_LEADS;
    } else if (st == CKIT_COMPUTE) {
        b->rows[i].state = CKITI_ROW_DUE;
    } else if (st == CKIT_OK || st == CKIT_STALE) {
        b->moved_ms = op->lock_deadline != 0 ? ckiti_cache_now(b->cache) : b->moved_ms;
        ckiti_batch_answer(b, i);
        if (st == CKIT_STALE) {
            refresh(b, i);
        }
    } else if (st == CKIT_MISS) { /* a refresh that was put off */
        ckiti_batch_end(b, i, CKIT_MISS);
    } else {
        ckit_error why = op->error;
        ckiti_batch_fail(b, i, st, &why);
    }
}

/* The store did not answer: nobody waits for it again in this batch. */
static void go_unanswered(ckit_batch *b, size_t i, ckit_status st, const ckit_error *why) {
    ckit_op *op = b->rows[i].op;
    op->retry_at_ms = 0;
    if (op->background || ckiti_op_minds_failures(op)) {
        op->error = *why;
        ckiti_batch_took(b, i, ckiti_op_opened(op, st, CKIT_LIFE_UNKNOWN));
    } else {
        op->silent = st == CKIT_E_TIMEOUT;
        ckiti_batch_took(b, i, ckiti_op_turn_of_the_function(op));
    }
}

/* ---- steps before the function ----------------------------------------------------------------------------------- */

static bool is_look(ckiti_phase phase) {
    return phase == CKITI_PHASE_LOOK || phase == CKITI_PHASE_WAIT || phase == CKITI_PHASE_LOOK_AGAIN;
}
static bool is_stale(ckiti_phase phase) { return phase == CKITI_PHASE_STALE; }
static bool is_lock(ckiti_phase phase) { return phase == CKITI_PHASE_LOCK; }

/* The next rows from *from on that lead and are there, in the arrays: a portion of them at most. 0: there are no
 * more. */
static size_t collect(ckit_batch *b, bool (*is_there)(ckiti_phase phase), size_t *from) {
    ckiti_batch_arrays *a = &b->a;
    size_t              count = 0;
    for (; *from < b->count && count < a->portion; ++*from) {
        if (b->rows[*from].state == CKITI_ROW_LEADS && is_there(b->rows[*from].op->phase)) {
            a->keys[count] = ckit_buf_slice(&b->rows[*from].op->key);
            a->places[count++] = *from;
        }
    }
    return count;
}

/* What a pass over the portions has met: a store that was silent once is not asked for the next ones. */
typedef struct pass {
    size_t     from; /* the next row */
    bool       silent;
    ckit_error why;
} pass;

/* One after the other, as long as the store answers. */
static void step_each(ckit_batch *b, size_t count, pass *p) {
    for (size_t n = 0; n < count; n++) {
        size_t   i = b->a.places[n];
        ckit_op *op = b->rows[i].op;
        if (p->silent) {
            go_unanswered(b, i, CKIT_E_TIMEOUT, &p->why);
            continue;
        }
        ckiti_batch_took(b, i, ckiti_op_advance(op));
        p->silent = op->silent;
        if (p->silent) {
            ckit_fail(&p->why, CKIT_E_TIMEOUT, b->cache->ops->name,
                      "the store did not answer an earlier call of the batch");
        }
    }
}

/* Reads what the arrays name. */
static ckit_status read_together(ckit_batch *b, size_t count, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    if (p->silent) {
        return CKIT_E_TIMEOUT;
    }
    for (size_t n = 0; n < count; n++) {
        ckit_buf_fini(&a->bytes[n]);
        ckit_buf_init(&a->bytes[n], b->cache->alloc);
        a->life_ms[n] = CKIT_LIFE_UNKNOWN;
    }
    ckit_status whole = b->cache->ops->get_many(b->cache->store, a->keys, count, ckiti_store_deadline(b->cache, 0),
                                                a->bytes, a->life_ms, a->answers, &p->why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(b->cache, "get_many", a->keys[0], &p->why);
    }
    p->silent = whole == CKIT_E_TIMEOUT;
    return whole;
}

/* What was read for the n-th becomes its operation's. `why` is told when that key failed. */
static ckit_op *take_read(ckit_batch *b, size_t n, ckit_error *why) {
    ckiti_batch_arrays *a = &b->a;
    ckit_op            *op = b->rows[a->places[n]].op;
    ckit_buf            none = op->stored;
    op->stored = a->bytes[n];
    a->bytes[n] = none;
    if (a->answers[n] >= CKIT_E_FIRST) {
        ckit_fail(why, a->answers[n], b->cache->ops->name, "one key of a batch: %s", ckit_status_text(a->answers[n]));
    }
    return op;
}

static void look_portion(ckit_batch *b, size_t count, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    if (b->cache->ops->get_many == NULL) {
        step_each(b, count, p);
        return;
    }
    for (size_t n = 0; n < count; n++) {
        b->rows[a->places[n]].op->retry_at_ms = 0;
        ckiti_op_begin_look(b->rows[a->places[n]].op);
    }
    ckit_status whole = read_together(b, count, p);
    for (size_t n = 0; n < count; n++) {
        if (whole != CKIT_OK) {
            go_unanswered(b, a->places[n], whole, &p->why);
            continue;
        }
        ckit_op *op = take_read(b, n, &b->rows[a->places[n]].op->error);
        ckiti_batch_took(b, a->places[n], ckiti_op_opened(op, a->answers[n], a->life_ms[n]));
    }
}

static void look(ckit_batch *b) {
    pass   p = {.why = CKIT_ERROR_INIT};
    size_t count;
    while ((count = collect(b, is_look, &p.from)) > 0) {
        look_portion(b, count, &p);
    }
}

/* The second entries of what has been collected, by their names. Returns of how many: without memory for its name, one
 * is not there. */
static size_t name_late(ckit_batch *b, size_t count) {
    ckiti_batch_arrays *a = &b->a;
    size_t              named = 0;
    for (size_t n = 0; n < count; n++) {
        size_t i = a->places[n];
        ckit_buf_fini(&a->names[named]);
        if (ckiti_stale_name(b->cache, a->keys[n], &a->names[named]) == CKIT_OK) {
            a->keys[named] = ckit_buf_slice(&a->names[named]);
            a->places[named++] = i;
        } else {
            ckiti_batch_took(b, i, ckiti_op_opened_late(b->rows[i].op, &a->names[named], CKIT_MISS, 0));
        }
    }
    return named;
}

/* A store that fails has nothing past its life; one that is silent is asked no more. */
static void look_late_portion(ckit_batch *b, size_t count, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    if (count < 2 || b->cache->ops->get_many == NULL) {
        step_each(b, count, p);
        return;
    }
    count = name_late(b, count);
    ckit_status whole = count > 0 ? read_together(b, count, p) : CKIT_OK;
    for (size_t n = 0; n < count; n++) {
        ckit_error  own = CKIT_ERROR_INIT;
        uint64_t    left_ms = 0;
        ckit_status got = CKIT_MISS;
        if (whole == CKIT_E_TIMEOUT) {
            go_unanswered(b, a->places[n], whole, &p->why);
            continue;
        }
        ckit_op *op = b->rows[a->places[n]].op;
        if (whole == CKIT_OK) {
            (void)take_read(b, n, &own);
            got = ckiti_stale_judge(b->function, a->keys[n], a->answers[n], a->life_ms[n], &own, &left_ms);
        }
        ckiti_batch_took(b, a->places[n], ckiti_op_opened_late(op, &a->names[n], got, left_ms));
    }
}

static void look_late(ckit_batch *b) {
    pass   p = {.why = CKIT_ERROR_INIT};
    size_t count;
    while ((count = collect(b, is_stale, &p.from)) > 0) {
        look_late_portion(b, count, &p);
    }
}

/* How many more locks the batch may take. */
static size_t room_for_locks(const ckit_batch *b) {
    size_t held = 0;
    if (b->cache->ops->lock_renew_many != NULL) {
        return b->count;
    }
    for (size_t i = 0; i < b->count; i++) {
        held += b->rows[i].op != NULL && b->rows[i].op->locked;
    }
    return held < CKITI_BATCH_LOCKS ? CKITI_BATCH_LOCKS - held : 0;
}

/* Of those that have been collected, the ones beyond the bound are computed without a lock. Returns how many are
 * left. */
static size_t bound_locks(ckit_batch *b, size_t count, size_t *room) {
    size_t some = count < *room ? count : *room;
    for (size_t n = some; n < count; n++) {
        ckiti_batch_took(b, b->a.places[n], ckiti_op_turn_of_the_function(b->rows[b->a.places[n]].op));
    }
    *room -= some;
    return some;
}

/* Whoever computes the others is alive and gets on: the wait begins anew with each answer that comes. */
static void be_patient(const ckit_batch *b, ckit_op *op) {
    uint64_t until_ms = ckiti_time_after(b->moved_ms, b->cache->options.lock_wait_ms);
    if (b->moved_ms != 0 && op->lock_deadline != 0 && op->lock_deadline < until_ms) {
        op->lock_deadline = until_ms;
    }
}

static void lock_portion(ckit_batch *b, size_t count, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    const ckit_cache   *cache = b->cache;
    for (size_t n = 0; n < count; n++) {
        be_patient(b, b->rows[a->places[n]].op);
    }
    if (count < 2 || cache->ops->lock_try_many == NULL) {
        step_each(b, count, p);
        return;
    }
    uint64_t    now = ckiti_cache_now(cache);
    ckit_status whole = CKIT_E_TIMEOUT;
    if (!p->silent) {
        whole = cache->ops->lock_try_many(cache->store, a->keys, count, cache->options.lock_lease_ms,
                                          ckiti_store_deadline(cache, 0), a->leases, a->answers, &p->why);
        p->silent = whole == CKIT_E_TIMEOUT;
    }
    for (size_t n = 0; n < count; n++) {
        ckit_op    *op = b->rows[a->places[n]].op;
        ckit_status st = whole != CKIT_OK ? whole : a->answers[n];
        op->retry_at_ms = 0;
        if (whole != CKIT_OK) {
            op->error = p->why;
        } else if (st >= CKIT_E_FIRST) {
            ckit_fail(&op->error, st, cache->ops->name, "the lock of one key of a batch: %s", ckit_status_text(st));
        } else {
            op->lease = a->leases[n];
        }
        ckiti_batch_took(b, a->places[n], ckiti_op_tried_lock(op, st, now));
    }
}

static void lock(ckit_batch *b) {
    pass   p = {.why = CKIT_ERROR_INIT};
    size_t count = collect(b, is_lock, &p.from);
    size_t room = count > 0 ? room_for_locks(b) : 0;
    while (count > 0) {
        lock_portion(b, bound_locks(b, count, &room), &p);
        count = collect(b, is_lock, &p.from);
    }
}

/* ---- after the function ------------------------------------------------------------------------------------------ */

/* Where the store takes many at once, with a lock or without; second entries are written without. */
static bool goes_together(const ckit_batch *b, const ckit_op *op) {
    const ckit_backend_ops *ops = b->cache->ops;
    if (ops != NULL && ops->set_many == NULL && b->function->keep_ms != 0) {
        return false;
    }
    return ops != NULL && (op->locked ? ops->set_many_if_owner != NULL : ops->set_many != NULL);
}

/* The next portion of what is written with a lock, or of what is written without, in the arrays. */
static size_t collect_results(ckit_batch *b, bool locked, size_t *from) {
    ckiti_batch_arrays *a = &b->a;
    size_t              count = 0;
    for (; *from < b->count && count < a->portion; ++*from) {
        const ckiti_row *r = &b->rows[*from];
        if (r->together && r->op->locked == locked && b->loads.storing[r->slot].stored.len > 0) {
            a->keys[count] = ckit_buf_slice(&r->op->key);
            a->values[count] = b->loads.storing[r->slot].stored;
            a->infos[count] = ckiti_op_info(r->op);
            a->leases[count] = r->op->lease;
            a->places[count++] = *from;
        }
    }
    return count;
}

static ckit_status write_portion(ckit_batch *b, bool locked, size_t count, pass *p) {
    ckiti_batch_arrays     *a = &b->a;
    const ckit_cache       *cache = b->cache;
    const ckit_backend_ops *ops = cache->ops;
    uint64_t                deadline_ms = ckiti_store_deadline(cache, 0);
    if (p->silent) {
        return CKIT_E_TIMEOUT;
    }
    ckit_status whole =
        locked ? ops->set_many_if_owner(cache->store, a->keys, a->values, a->infos, a->leases, count, deadline_ms,
                                        a->answers, &p->why)
               : ops->set_many(cache->store, a->keys, a->values, a->infos, count, deadline_ms, a->answers, &p->why);
    p->silent = whole == CKIT_E_TIMEOUT;
    return whole;
}

/* What the store says of each is in its operation's `got`. */
static void write_together(ckit_batch *b, bool locked) {
    ckiti_batch_arrays *a = &b->a;
    pass                p = {.why = CKIT_ERROR_INIT};
    size_t              count;
    while ((count = collect_results(b, locked, &p.from)) > 0) {
        ckit_status whole = write_portion(b, locked, count, &p);
        for (size_t n = 0; n < count; n++) {
            ckit_op *op = b->rows[a->places[n]].op;
            op->got = whole != CKIT_OK ? whole : a->answers[n];
            if (whole != CKIT_OK) {
                op->error = p.why;
            } else if (op->got != CKIT_OK) {
                ckit_fail(&op->error, op->got, b->cache->ops->name, "one key of a batch: %s",
                          ckit_status_text(op->got));
            }
        }
    }
}

/* The store has the result, or the caller minds that it has not. */
static void answer_kept(ckit_batch *b, size_t i, ckit_status st) {
    if (st == CKIT_OK) {
        ckiti_batch_answer(b, i);
    } else {
        ckit_error why = b->rows[i].op->error;
        ckiti_batch_fail(b, i, st, &why);
    }
}

static void end_write(ckit_batch *b, size_t i) {
    ckiti_row *r = &b->rows[i];
    ckit_error why = r->op->error;
    r->together = false;
    r->op->error = (ckit_error)CKIT_ERROR_INIT;
    answer_kept(b, i, ckiti_op_end_store(r->op, &b->loads.storing[r->slot], r->op->got, &why));
}

static void end_failed(ckit_batch *b, size_t i) {
    ckit_op   *op = b->rows[i].op;
    ckit_error why = op->error;
    ckiti_op_count_failure(op);
    bool stands_in = ckiti_op_fall_back(op, &why);
    ckiti_op_failed(op);
    if (stands_in) {
        ckiti_batch_answer(b, i);
    } else {
        ckiti_batch_fail(b, i, why.status, &why);
    }
}

/* Locks that are let go together: the operations have them no longer. */
static void take_locks(ckit_batch *b) {
    for (size_t i = 0; i < b->count && b->cache->ops != NULL && b->cache->ops->lock_release_many != NULL; i++) {
        ckit_op *op = b->rows[i].op;
        if (op != NULL && ckiti_op_owns_lock(op)) {
            ckiti_lease_drop(b->cache, &op->held);
            op->locked = false;
            b->rows[i].lets_go = true;
        }
    }
}

static size_t collect_locks(ckit_batch *b, size_t *from) {
    ckiti_batch_arrays *a = &b->a;
    size_t              count = 0;
    for (; *from < b->count && count < a->portion; ++*from) {
        const ckit_op *op = b->rows[*from].op;
        if (b->rows[*from].lets_go) {
            b->rows[*from].lets_go = false;
            a->keys[count] = ckit_buf_slice(&op->key);
            a->leases[count] = op->lease;
            a->places[count++] = *from;
        }
    }
    return count;
}

/* Locks that cannot be released now are the cache's to let go. */
static void let_go(ckit_batch *b) {
    ckiti_batch_arrays *a = &b->a;
    ckit_status         whole = CKIT_OK;
    size_t              from = 0, count;
    while ((count = collect_locks(b, &from)) > 0) {
        const bool unasked = whole == CKIT_E_TIMEOUT;
        if (!unasked) {
            whole = b->cache->ops->lock_release_many(b->cache->store, a->keys, a->leases, count,
                                                     ckiti_store_deadline(b->cache, 0), a->answers, NULL);
        }
        for (size_t n = 0; n < count; n++) {
            if (unasked) {
                ckiti_replay_loose(b->cache, a->keys[n], &a->leases[n], false);
            }
            ckiti_op_released(b->rows[a->places[n]].op, whole != CKIT_OK ? whole : a->answers[n]);
        }
    }
}

void ckiti_batch_unlock_all(ckit_batch *b) {
    take_locks(b);
    let_go(b);
}

/* What the loader has given. Keys and locks last until the batch is swept. */
void ckiti_batch_settle(ckit_batch *b) {
    b->settles = false;
    for (size_t i = 0; i < b->count; i++) {
        ckiti_row *r = &b->rows[i];
        if (r->state != CKITI_ROW_KEPT) {
            continue;
        }
        r->together = goes_together(b, r->op);
        if (r->together) {
            ckiti_op_begin_store(r->op, &b->loads.storing[r->slot]);
        } else {
            answer_kept(b, i, ckiti_op_store(r->op));
        }
    }
    write_together(b, false);
    write_together(b, true);
    ckiti_batch_keep_late(b);
    take_locks(b);
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].together) {
            end_write(b, i);
        } else if (b->rows[i].state == CKITI_ROW_FAILED) {
            end_failed(b, i);
        }
    }
    let_go(b);
    ckiti_batch_sweep(b);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

bool ckiti_batch_has_lock(const ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].op->locked) {
            return true;
        }
    }
    return false;
}

void ckiti_batch_forget_locks(ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL) {
            b->rows[i].op->locked = false;
        }
    }
}

bool ckiti_batch_needs_store(const ckit_batch *b) {
    if (b->cache->ops == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->count; i++) {
        const ckiti_row *r = &b->rows[i];
        if (r->state == CKITI_ROW_LEADS ||
            (r->state == CKITI_ROW_KEPT && r->op->keyed && r->op->ttl_ms != CKIT_TTL_DO_NOT_STORE)) {
            return true;
        }
    }
    return b->settles && ckiti_batch_has_lock(b);
}

void ckiti_batch_skip_store(ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_LEADS) {
            ckit_op *op = b->rows[i].op;
            ckiti_batch_took(b, i,
                             op->background ? ckiti_refresh_put_off(op, CKITI_PAUSE_LOCKED_MS)
                                            : ckiti_op_turn_of_the_function(op));
        }
    }
}

/* One step of all that lead. False when none does any more. */
static bool step(ckit_batch *b) {
    if (b->cache->ops == NULL) {
        ckiti_batch_skip_store(b);
        return false;
    }
    look(b);
    look_late(b);
    lock(b);
    return ckiti_batch_has(b, CKITI_ROW_LEADS);
}

ckit_status ckiti_batch_go(ckit_batch *b) {
    if (b->settles) {
        ckiti_batch_settle(b);
    }
    uint64_t began_ms = ckiti_batch_now(b);
    while (step(b)) {}
    b->asked_ms = ckiti_time_left(began_ms, ckiti_batch_now(b));
    ckiti_batch_sweep(b);
    ckiti_batch_answer_twins(b);
    if (ckiti_batch_has(b, CKITI_ROW_DUE)) {
        return ckiti_batch_make_calls(b);
    }
    if (ckiti_batch_has(b, CKITI_ROW_FOLLOWS) || ckiti_batch_has(b, CKITI_ROW_WAITS)) {
        return CKIT_PENDING;
    }
    return CKIT_OK;
}

ckit_status ckiti_batch_go_without(ckit_batch *b) {
    ckiti_batch_leave_others(b);
    b->pause_until_ms = 0;
    ckiti_batch_resume(b);
    for (size_t i = 0; i < b->count; i++) {
        ckiti_row *r = &b->rows[i];
        if (r->state == CKITI_ROW_KEPT) {
            answer_kept(b, i, ckiti_op_keep_without_store(r->op));
        } else if (r->state == CKITI_ROW_FAILED) {
            end_failed(b, i);
        }
    }
    ckiti_batch_skip_store(b);
    b->settles = false;
    return ckiti_batch_go(b);
}
