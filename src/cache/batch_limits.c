/* Many calls of a function that may take only so long: what is left after memory and the store have been asked goes on
 * in a thread of its own, and the caller waits for it as long as that. Who is gone by then leaves the run alone: it
 * stores what the loader gives, wakes whoever waits, and gives everything back. */
#include "cache/batch.h"

#include "cache/shared.h"

#include <cachekit/value.h>

typedef struct run {
    pthread_mutex_t   mu;
    pthread_cond_t    over;
    bool              is_over; /* these two: guarded by mu */
    bool              is_alone;
    ckit_batch       *b;
    ckit_batch_loader loader;
    void             *context;
    ckiti_job         job;
} run;

static void end_run(run *r) {
    const ckit_alloc *alloc = r->b->cache->alloc;
    ckiti_batch_free(r->b);
    pthread_cond_destroy(&r->over);
    pthread_mutex_destroy(&r->mu);
    ckiti_free(alloc, r, sizeof *r);
}

/* ---- the thread that goes on ------------------------------------------------------------------------------------- */

static void work(ckiti_job *job) {
    run           *r = (run *)(void *)((char *)job - offsetof(run, job));
    ckit_function *function = r->b->function;
    ckiti_batch_move_seats(r->b, ckiti_flight_move_here);
    ckiti_batch_run_with(r->b, r->loader, r->context);
    pthread_mutex_lock(&r->mu);
    r->is_over = true;
    bool alone = r->is_alone;
    pthread_cond_signal(&r->over);
    pthread_mutex_unlock(&r->mu);
    if (alone) {
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

/* False: there is no thread, or the function is at work in this one; then nothing has happened. */
static bool start(run *r) {
    ckit_batch *b = r->b;
    if (has_reentrant(b)) {
        return false;
    }
    ckiti_function_hold(b->function);
    ckiti_batch_move_seats(b, ckiti_flight_move_away); /* this thread may ask again before the other one begins */
    r->job.run = work;
    if (ckiti_workers_submit_now(&b->cache->runners, &r->job) == CKIT_OK) {
        return true;
    }
    ckiti_batch_move_seats(b, ckiti_flight_move_here);
    ckiti_function_let_go(b->function);
    return false;
}

/* ---- the caller who waits ---------------------------------------------------------------------------------------- */

static bool is_over_in(run *r, struct timespec until) {
    int waited = 0;
    pthread_mutex_lock(&r->mu);
    while (!r->is_over && waited == 0) {
        waited = pthread_cond_timedwait(&r->over, &r->mu, &until);
    }
    bool over = r->is_over;
    pthread_mutex_unlock(&r->mu);
    return over;
}

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

/* The caller goes. False: it is over by now. */
static bool leave(run *r) {
    pthread_mutex_lock(&r->mu);
    r->is_alone = !r->is_over;
    bool left = r->is_alone;
    pthread_mutex_unlock(&r->mu);
    return left;
}

/* True: the caller has left with what there is. */
static bool leaves_in_time(run *r, const answers *a) {
    const ckit_function *function = r->b->function;
    struct timespec      soft = ckiti_real_time_in(function->soft_limit_ms);
    struct timespec      hard = ckiti_real_time_in(function->hard_limit_ms);
    if (function->soft_limit_ms != 0 && !is_over_in(r, soft) && all_instead(r->b, false, a) && leave(r)) {
        return true;
    }
    if (function->hard_limit_ms != 0) {
        if (is_over_in(r, hard)) {
            return false;
        }
        (void)all_instead(r->b, true, a);
        return leave(r);
    }
    while (!is_over_in(r, ckiti_real_time_in(UINT64_C(86400000)))) {}
    return false;
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
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&r->over, &attr);
        pthread_condattr_destroy(&attr);
        pthread_mutex_init(&r->mu, NULL);
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
    if (r == NULL || !start(r)) {
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
