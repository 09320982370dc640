/* Many calls of a function that may take only so long: what is left after memory and the store have been asked goes on
 * in a thread of its own, and the caller waits for it as long as that. Who is gone by then leaves the run alone: it
 * stores what the loader gives, wakes whoever waits, and gives everything back. */
#include "cache/apart.h"
#include "cache/batch.h"
#include "cache/shared.h"

#include <cachekit/value.h>

typedef struct run {
    ckiti_apart       apart;
    struct timespec   soft; /* when the limits are reached */
    struct timespec   hard;
    ckit_batch       *b;
    ckit_batch_loader loader;
    void             *context;
    ckiti_job         job;
} run;

static void end_run(run *r) {
    const ckit_alloc *alloc = r->b->cache->alloc;
    ckiti_batch_free(r->b);
    ckiti_apart_fini(&r->apart);
    ckiti_free(alloc, r, sizeof *r);
}

/* ---- the thread that goes on ------------------------------------------------------------------------------------- */

static void work(ckiti_job *job) {
    run           *r = (run *)(void *)((char *)job - offsetof(run, job));
    ckit_function *function = r->b->function;
    ckiti_batch_move_seats(r->b, ckiti_flight_move_here);
    ckiti_batch_run_with(r->b, r->loader, r->context);
    if (ckiti_apart_end(&r->apart)) {
        end_run(r);
        ckiti_function_let_go(function);
    }
}

static bool has_reentrant(const ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].op->seat.reentrant) {
            return true;
        }
    }
    return false;
}

/* ---- the caller who waits ---------------------------------------------------------------------------------------- */

typedef struct answers {
    ckit_value  *out;
    ckit_status *each;
    ckit_error  *first;
} answers;

/* Each call has its answer, an older value, or (`hard`) the failure to be in time. True when every one has something. */
static bool all_instead(ckit_batch *b, bool hard, const answers *a) {
    bool all = true;
    *a->first = (ckit_error)CKIT_ERROR_INIT;
    for (size_t i = 0; i < b->count; i++) {
        ckit_error why = CKIT_ERROR_INIT;
        ckit_value_fini(&a->out[i]);
        a->each[i] = ckit_batch_overdue(b, i, hard, &a->out[i], &why);
        a->each[i] = a->each[i] == CKIT_STALE ? CKIT_OK : a->each[i];
        all = all && a->each[i] != CKIT_MISS;
        if (a->each[i] >= CKIT_E_FIRST && a->first->status == CKIT_OK) {
            *a->first = why;
        }
    }
    return all;
}

/* True: the caller has left with what there is. */
static bool leaves_in_time(run *r, const answers *a) {
    const ckit_function *function = r->b->function;
    if (function->soft_limit_ms != 0 && !ckiti_apart_is_over_by(&r->apart, r->soft) && all_instead(r->b, false, a) &&
        ckiti_apart_leave(&r->apart)) {
        return true;
    }
    if (function->hard_limit_ms != 0) {
        if (ckiti_apart_is_over_by(&r->apart, r->hard)) {
            return false;
        }
        (void)all_instead(r->b, true, a);
        return ckiti_apart_leave(&r->apart);
    }
    while (!ckiti_apart_is_over_by(&r->apart, ckiti_real_time_in(UINT64_C(86400000)))) {}
    return false;
}

/* All threads are taken: waits for one as long as the limits say, as await_thread in limits.c does. CKIT_MISS: there is
 * none for this one. CKIT_STALE: the caller has what he gets instead. */
static ckit_status await_thread(run *r, const answers *a) {
    ckiti_workers       *runners = &r->b->cache->runners;
    const ckit_function *function = r->b->function;
    ckit_status          st = CKIT_E_BUSY;
    if (ckiti_workers_is_own(runners)) {
        return CKIT_MISS;
    }
    if (function->soft_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &r->job, r->soft);
        if (st == CKIT_E_BUSY && all_instead(r->b, false, a)) {
            return CKIT_STALE;
        }
    }
    if (st == CKIT_E_BUSY && function->hard_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &r->job, r->hard);
        if (st == CKIT_E_BUSY) {
            (void)all_instead(r->b, true, a);
            return CKIT_STALE;
        }
    }
    return st == CKIT_OK ? st : CKIT_MISS;
}

/* CKIT_OK: a thread goes on with it. CKIT_MISS: there is none, or the function is at work in this one; then nothing has
 * happened. CKIT_STALE: as above. */
static ckit_status start(run *r, const answers *a) {
    ckit_batch *b = r->b;
    if (has_reentrant(b)) {
        return CKIT_MISS;
    }
    ckiti_function_hold(b->function);
    ckiti_batch_move_seats(b, ckiti_flight_move_away); /* this thread may ask again before the other one begins */
    r->job.run = work;
    r->soft = ckiti_real_time_in(b->function->soft_limit_ms);
    r->hard = ckiti_real_time_in(b->function->hard_limit_ms);
    ckit_status st = ckiti_workers_submit_now(&b->cache->runners, &r->job);
    if (st == CKIT_E_BUSY) {
        st = await_thread(r, a);
    }
    if (st == CKIT_OK) {
        return st;
    }
    ckiti_batch_move_seats(b, ckiti_flight_move_here);
    ckiti_function_let_go(b->function);
    return st == CKIT_STALE ? st : CKIT_MISS;
}

static void take(ckit_batch *b, const answers *a) {
    for (size_t i = 0; i < b->count; i++) {
        ckit_value_fini(&a->out[i]);
        a->each[i] = b->answers[i];
        ckiti_value_move(&a->out[i], &b->out[i]);
    }
    *a->first = b->first;
}

static run *new_run(ckit_batch *b, ckit_batch_loader loader, void *context) {
    run *r = ckiti_alloc_zeroed(b->cache->alloc, 1, sizeof *r);
    if (r != NULL) {
        ckiti_apart_init(&r->apart);
        r->b = b;
        r->loader = loader;
        r->context = context;
    }
    return r;
}

void ckiti_batch_in_time(ckit_batch *b, ckit_batch_loader loader, void *context, ckit_value *out, ckit_status *each,
                         ckit_error *first) {
    const answers  a = {out, each, first};
    ckit_function *function = b->function;
    run           *r = ckiti_batch_go(b) != CKIT_OK ? new_run(b, loader, context) : NULL;
    ckit_status    st = r == NULL ? CKIT_MISS : start(r, &a);
    if (st == CKIT_STALE) {
        end_run(r);
        return;
    }
    if (st == CKIT_MISS) {
        ckiti_batch_run_with(b, loader, context);
    } else if (leaves_in_time(r, &a)) {
        return;
    } else {
        ckiti_function_let_go(function);
    }
    take(b, &a);
    if (r != NULL) {
        end_run(r);
    } else {
        ckiti_batch_free(b);
    }
}
