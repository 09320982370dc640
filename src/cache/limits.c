/* A function that may take only so long: it runs in a thread of its own, and its caller waits for it as long as that.
 * Who is gone by then leaves the run alone: it stores its result, wakes whoever waits, and gives everything back. */
#include "cache/apart.h"
#include "cache/call.h"

#include <cachekit/value.h>

typedef struct run {
    ckiti_apart apart; /* first */
    ckit_status status;
    ckit_error  error;
    ckit_op     op;
} run;

/* What he gets when his limits are over. */
typedef struct caller {
    ckit_status status; /* CKIT_STALE: there is a value */
    ckit_value  value;
    ckit_error  error;
} caller;

static run *run_of(ckiti_apart *apart) { return (run *)(void *)apart; }

static void end_run(run *r) {
    const ckit_alloc *alloc = r->op.cache->alloc;
    ckiti_op_fini(&r->op);
    ckiti_apart_fini(&r->apart);
    ckiti_free(alloc, r, sizeof *r);
}

static void compute(ckiti_apart *apart) {
    run *r = run_of(apart);
    r->status = ckiti_op_compute(&r->op, &r->op.args, &r->error);
}

static bool give_instead(ckiti_apart *apart, bool hard, void *context) {
    caller *c = context;
    c->status = ckiti_op_overdue(&run_of(apart)->op, hard, &c->value, &c->error);
    return c->status != CKIT_MISS;
}

static void end_alone(ckiti_apart *apart) {
    run                 *r = run_of(apart);
    const ckit_function *function = apart->function;
    if (r->status >= CKIT_E_FIRST) {
        ckiti_log(function->cache->log, CKIT_LOG_INFO, "cache", "%.*s failed after its caller had gone: %s",
                  (int)function->record->name_len, function->record->name, r->error.text);
    }
    end_run(r);
}

static bool has_lock(const ckiti_apart *apart) { return ((const run *)(const void *)apart)->op.locked; }

static void move_seat(ckiti_apart *apart, void (*move)(ckiti_flights *flights, ckiti_seat *seat)) {
    ckit_op *op = &run_of(apart)->op;
    move(&op->cache->flights, &op->seat);
}

static const ckiti_apart_kind one_call = {
    .run = compute, .instead = give_instead, .end = end_alone, .has_lock = has_lock, .move = move_seat};

static run *new_run(ckit_function *function) {
    run *r = ckiti_alloc(function->cache->alloc, sizeof *r);
    if (r != NULL) {
        ckiti_apart_init(&r->apart, &one_call, function);
        r->status = CKIT_OK;
        r->error = (ckit_error)CKIT_ERROR_INIT;
    }
    return r;
}

/* As ckiti_apart_compute. */
static ckit_status compute_apart(run *r, const ckit_args *args, caller *c) {
    ckit_op *op = &r->op;
    if (op->seat.reentrant || ckit_args_copy(&op->args, args, op->cache->alloc) != CKIT_OK) {
        return CKIT_MISS;
    }
    op->has_args = true;
    return ckiti_apart_compute(&r->apart, c);
}

/* The caller has left. */
static ckit_status take_instead(caller *c, ckit_value *out, ckit_error *err) {
    if (c->status == CKIT_STALE && out != NULL) {
        ckiti_value_move(out, &c->value);
    } else if (c->status != CKIT_STALE && err != NULL) {
        *err = c->error;
    }
    return c->status == CKIT_STALE ? CKIT_OK : c->status;
}

/* The run has an answer. */
static ckit_status take(run *r, ckit_status st, const ckit_error *why, ckit_value *out, ckit_error *err) {
    if (st == CKIT_OK || st == CKIT_STALE) {
        ckiti_op_give(&r->op, out);
        return CKIT_OK;
    }
    if (err != NULL) {
        *err = *why;
    }
    return st;
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
    if (st != CKIT_COMPUTE) {
        st = take(r, st, &r->op.error, out, err);
        end_run(r);
        return st;
    }
    caller c = {.value = CKIT_VALUE_INIT, .error = CKIT_ERROR_INIT};
    st = compute_apart(r, args, &c);
    if (st == CKIT_STALE) {
        st = take_instead(&c, out, err);
    } else {
        if (st == CKIT_MISS) {
            r->status = ckiti_op_compute(&r->op, args, &r->error);
        }
        st = take(r, r->status, &r->error, out, err);
        end_run(r);
    }
    ckit_value_fini(&c.value);
    return st;
}
