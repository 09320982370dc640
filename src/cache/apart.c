#include "cache/apart.h"

#include "base/clock.h"
#include "cache/call.h"

#define LONG_MS UINT64_C(86400000)

/* Whose thread this is, while it has a run. */
static _Thread_local ckiti_workers *own_runners;

static void work(ckiti_job *job);

void ckiti_apart_init(ckiti_apart *apart, const ckiti_apart_kind *kind, ckit_function *function) {
    *apart = (ckiti_apart){.kind = kind, .function = function, .job.run = work};
    ckiti_cond_init(&apart->over);
    pthread_mutex_init(&apart->mu, NULL);
}

void ckiti_apart_fini(ckiti_apart *apart) {
    pthread_cond_destroy(&apart->over);
    pthread_mutex_destroy(&apart->mu);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* True: the caller has left. False: the run is his now, and may be gone at once. */
static bool ends_alone(ckiti_apart *apart) {
    pthread_mutex_lock(&apart->mu);
    apart->is_over = true;
    bool alone = apart->is_alone;
    pthread_cond_signal(&apart->over);
    pthread_mutex_unlock(&apart->mu);
    return alone;
}

static void end(ckiti_apart *apart) {
    ckit_function *function = apart->function;
    apart->kind->end(apart);
    ckiti_function_let_go(function);
}

static ckiti_apart *apart_of(ckiti_job *job) {
    return (ckiti_apart *)(void *)((char *)job - offsetof(ckiti_apart, job));
}

static void work(ckiti_job *job) {
    ckiti_apart *apart = apart_of(job);
    own_runners = &apart->function->cache->runners;
    apart->kind->move(apart, ckiti_flight_move_here);
    apart->kind->run(apart);
    own_runners = NULL;
    if (ends_alone(apart)) {
        end(apart);
    }
}

ckiti_workers *ckiti_apart_step_aside(void) {
    if (own_runners != NULL) {
        ckiti_workers_step_aside(own_runners);
    }
    return own_runners;
}

void ckiti_apart_step_back(ckiti_workers *runners) {
    if (runners != NULL) {
        ckiti_workers_step_back(runners);
    }
}

void ckiti_apart_forked(void) { own_runners = NULL; }

/* ---- the caller -------------------------------------------------------------------------------------------------- */

/* Waits until a point of CLOCK_MONOTONIC; true when the run is over. */
static bool is_over_by(ckiti_apart *apart, struct timespec until) {
    int waited = 0;
    pthread_mutex_lock(&apart->mu);
    while (!apart->is_over && waited == 0) {
        waited = pthread_cond_timedwait(&apart->over, &apart->mu, &until);
    }
    bool over = apart->is_over;
    pthread_mutex_unlock(&apart->mu);
    return over;
}

/* False: he cannot, because it is over by now. */
static bool leaves(ckiti_apart *apart) {
    pthread_mutex_lock(&apart->mu);
    apart->is_alone = !apart->is_over;
    bool left = apart->is_alone;
    pthread_mutex_unlock(&apart->mu);
    return left;
}

/* A thread has it. True: the caller has left. */
static bool leaves_in_time(ckiti_apart *apart, void *caller) {
    const ckit_function *function = apart->function;
    if (function->soft_limit_ms != 0 && !is_over_by(apart, apart->soft) && apart->kind->instead(apart, false, caller) &&
        leaves(apart)) {
        return true;
    }
    while (!is_over_by(apart, apart->hard)) {
        if (function->hard_limit_ms != 0) {
            (void)apart->kind->instead(apart, true, caller);
            return leaves(apart);
        }
        apart->hard = ckiti_real_time_in(LONG_MS);
    }
    return false;
}

/* All threads are taken: waits for one as long as the limits say. Who has one himself, of whatever cache, does not: those
 * that have all of them could wait for each other. Nor does anybody for longer than his soft limit where that is all he
 * has. CKIT_STALE: the caller has what he gets instead. */
static ckit_status await_thread(ckiti_apart *apart, ckiti_workers *runners, void *caller) {
    const ckit_function *function = apart->function;
    ckit_status          st = CKIT_E_BUSY;
    if (own_runners != NULL) {
        return CKIT_MISS;
    }
    if (function->soft_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &apart->job, apart->soft);
        if (st == CKIT_E_BUSY && apart->kind->instead(apart, false, caller)) {
            return CKIT_STALE;
        }
    }
    if (st == CKIT_E_BUSY && function->hard_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &apart->job, apart->hard);
        if (st == CKIT_E_BUSY) {
            (void)apart->kind->instead(apart, true, caller);
            return CKIT_STALE;
        }
    }
    return st;
}

static void end_later(ckiti_job *job) { end(apart_of(job)); }

/* The caller leaves a run that has not begun, and has no time for the store. */
static void abandon(ckiti_apart *apart) {
    apart->job = (ckiti_job){.run = end_later, .dropped = end_later};
    if (!apart->kind->has_lock(apart) ||
        ckiti_workers_submit(&apart->function->cache->workers, &apart->job, 0) != CKIT_OK) {
        end(apart);
    }
}

ckit_status ckiti_apart_compute(ckiti_apart *apart, void *caller) {
    ckit_function *function = apart->function;
    ckiti_workers *runners = &function->cache->runners;
    apart->soft = ckiti_real_time_in(function->soft_limit_ms);
    apart->hard = ckiti_real_time_in(function->hard_limit_ms != 0 ? function->hard_limit_ms : LONG_MS);
    ckiti_function_hold(function);
    apart->kind->move(apart, ckiti_flight_move_away); /* this thread may ask again before the other one begins */
    ckit_status st = ckiti_workers_submit_now(runners, &apart->job);
    if (st == CKIT_E_BUSY) {
        st = await_thread(apart, runners, caller);
    }
    if (st == CKIT_OK && leaves_in_time(apart, caller)) {
        return CKIT_STALE;
    }
    if (st == CKIT_STALE) {
        abandon(apart);
        return CKIT_STALE;
    }
    if (st != CKIT_OK) {
        apart->kind->move(apart, ckiti_flight_move_here);
    }
    ckiti_function_let_go(function);
    return st == CKIT_OK ? CKIT_OK : CKIT_MISS;
}
