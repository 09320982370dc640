/* A function that may take only so long: it runs in a thread of its own, and its caller waits for it as long as that.
 * Who is gone by then leaves the run alone: it stores its result, wakes whoever waits, and gives everything back. */
#include "cache/apart.h"
#include "cache/call.h"

#include <cachekit/value.h>

#define LONG_MS UINT64_C(86400000)

typedef struct run {
    ckiti_apart     apart;
    struct timespec soft; /* when the limits are reached; where there is none: now, and in a day */
    struct timespec hard;
    ckit_status     status;
    ckit_error      error;
    ckit_op         op;
} run;

static run *run_of(ckiti_job *job) {
    return (run *)(void *)((char *)job - offsetof(run, op) - offsetof(ckit_op, work));
}

static void end_run(run *r) {
    const ckit_alloc *alloc = r->op.cache->alloc;
    ckiti_op_fini(&r->op);
    ckiti_apart_fini(&r->apart);
    ckiti_free(alloc, r, sizeof *r);
}

static void work(ckiti_job *job) {
    run           *r = run_of(job);
    ckit_function *function = r->op.function;
    ckiti_flight_move_here(&r->op.cache->flights, &r->op.seat);
    r->error = (ckit_error)CKIT_ERROR_INIT;
    r->status = ckiti_op_compute(&r->op, &r->op.args, &r->error);
    if (ckiti_apart_end(&r->apart)) {
        if (r->status >= CKIT_E_FIRST) {
            ckiti_log(function->cache->log, CKIT_LOG_INFO, "cache", "%.*s failed after its caller had gone: %s",
                      (int)function->record->name_len, function->record->name, r->error.text);
        }
        end_run(r);
        ckiti_function_let_go(function);
    }
}

/* CKIT_OK: it is over. Else the answer of a caller who has had enough. */
static ckit_status wait_for(run *r, ckit_value *out, ckit_error *err) {
    const ckit_function *function = r->op.function;
    struct timespec      hard = r->hard;
    if (function->soft_limit_ms != 0 && !ckiti_apart_is_over_by(&r->apart, r->soft) &&
        ckiti_op_overdue(&r->op, false, out, NULL) == CKIT_STALE) {
        return CKIT_STALE;
    }
    while (!ckiti_apart_is_over_by(&r->apart, hard)) {
        if (function->hard_limit_ms != 0) {
            return ckiti_op_overdue(&r->op, true, out, err);
        }
        hard = ckiti_real_time_in(LONG_MS);
    }
    return CKIT_OK;
}

/* The run is over, its caller is here. */
static ckit_status take(run *r, ckit_value *out, ckit_error *err) {
    ckit_status st = r->status;
    if (st == CKIT_OK || st == CKIT_STALE) {
        ckiti_op_give(&r->op, out);
    } else if (err != NULL) {
        *err = r->error;
    }
    return st == CKIT_STALE ? CKIT_OK : st;
}

static ckit_status compute_apart(run *r, ckit_value *out, ckit_error *err) {
    ckit_function *function = r->op.function;
    ckit_value     instead = CKIT_VALUE_INIT;
    ckiti_function_hold(function);
    ckit_status st = wait_for(r, &instead, err);
    if (st != CKIT_OK && ckiti_apart_leave(&r->apart)) {
        if (out != NULL && st == CKIT_STALE) {
            ckiti_value_move(out, &instead);
        }
        ckit_value_fini(&instead);
        return st == CKIT_STALE ? CKIT_OK : st;
    }
    if (st != CKIT_OK && err != NULL) {
        *err = (ckit_error)CKIT_ERROR_INIT;
    }
    ckit_value_fini(&instead);
    st = take(r, out, err);
    end_run(r);
    ckiti_function_let_go(function);
    return st;
}

static run *new_run(ckit_function *function) {
    run *r = ckiti_alloc(function->cache->alloc, sizeof *r);
    if (r != NULL) {
        ckiti_apart_init(&r->apart);
    }
    return r;
}

/* All threads are taken: waits for one as long as the limits say. Who has one himself does not: those that have all of
 * them could wait for each other. Nor does anybody for longer than his soft limit where that is all he has. As
 * `start`. */
static ckit_status await_thread(run *r, ckit_value *out, ckit_error *err) {
    ckit_op             *op = &r->op;
    ckiti_workers       *runners = &op->cache->runners;
    const ckit_function *function = op->function;
    ckit_status          st = CKIT_E_BUSY;
    if (ckiti_workers_is_own(runners)) {
        return CKIT_MISS;
    }
    if (function->soft_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &op->work, r->soft);
        if (st == CKIT_E_BUSY && ckiti_op_overdue(op, false, out, NULL) == CKIT_STALE) {
            return CKIT_STALE;
        }
    }
    if (st == CKIT_E_BUSY && function->hard_limit_ms != 0) {
        st = ckiti_workers_submit_by(runners, &op->work, r->hard);
        if (st == CKIT_E_BUSY) {
            return ckiti_op_overdue(op, true, out, err);
        }
    }
    return st == CKIT_OK ? st : CKIT_MISS;
}

/* Hands the run to a thread. CKIT_MISS: there is none, or no memory; then nothing has happened. CKIT_STALE, or a
 * failure: the answer of a caller who has waited for a thread long enough. */
static ckit_status start(run *r, const ckit_args *args, ckit_value *out, ckit_error *err) {
    ckit_op *op = &r->op;
    if (ckit_args_copy(&op->args, args, op->cache->alloc) != CKIT_OK) {
        return CKIT_MISS;
    }
    op->has_args = true;
    op->work.run = work;
    r->soft = ckiti_real_time_in(op->function->soft_limit_ms);
    r->hard = ckiti_real_time_in(op->function->hard_limit_ms != 0 ? op->function->hard_limit_ms : LONG_MS);
    ckiti_flight_move_away(&op->cache->flights, &op->seat); /* this thread may ask again before the other one begins */
    ckit_status st = ckiti_workers_submit_now(&op->cache->runners, &op->work);
    if (st == CKIT_E_BUSY) {
        st = await_thread(r, out, err);
    }
    if (st == CKIT_OK) {
        return st;
    }
    ckiti_flight_move_here(&op->cache->flights, &op->seat);
    return st == CKIT_E_CLOSED || st == CKIT_E_NO_MEMORY ? CKIT_MISS : st;
}

ckit_status ckiti_call_in_time(ckit_function *function, const ckit_args *args, ckit_slice packed,
                               const ckiti_memkey *memkey, uint64_t hash, bool *found_stale, ckit_value *out,
                               ckit_error *err) {
    run *r = new_run(function);
    if (r == NULL) {
        return CKIT_MISS;
    }
    if (ckiti_op_init(&r->op, function, packed, memkey, hash, NULL) != CKIT_OK) {
        end_run(r);
        return CKIT_MISS;
    }
    ckit_status st = ckiti_op_run(&r->op);
    *found_stale = st == CKIT_STALE;
    if (st == CKIT_COMPUTE && !r->op.seat.reentrant) {
        ckit_value instead = CKIT_VALUE_INIT;
        st = start(r, args, &instead, err);
        if (st == CKIT_OK) {
            return compute_apart(r, out, err);
        }
        if (st != CKIT_MISS) {
            if (out != NULL && st == CKIT_STALE) {
                ckiti_value_move(out, &instead);
            }
            ckit_value_fini(&instead);
            end_run(r);
            return st == CKIT_STALE ? CKIT_OK : st;
        }
        st = CKIT_COMPUTE;
    }
    if (st == CKIT_COMPUTE) {
        st = ckiti_op_compute(&r->op, args, err);
    } else if (st >= CKIT_E_FIRST && err != NULL) {
        *err = r->op.error;
    }
    if (st == CKIT_OK || st == CKIT_STALE) {
        ckiti_op_give(&r->op, out);
        st = CKIT_OK;
    }
    end_run(r);
    return st;
}
