/* Many calls of a function that may take only so long: what is left after memory and the store have been asked goes on
 * in a thread of its own, and the caller waits for it as long as that. Who is gone by then leaves the run alone: it
 * stores what the loader gives, wakes whoever waits, and gives everything back. */
#include "cache/apart.h"
#include "cache/batch.h"
#include "cache/shared.h"

#include <cachekit/value.h>

typedef struct run {
    ckiti_apart       apart; /* first */
    ckit_batch       *b;
    ckit_batch_loader loader;
    void             *context;
} run;

typedef struct answers {
    ckit_value  *out;
    ckit_status *each;
    ckit_error  *first;
} answers;

static run *run_of(ckiti_apart *apart) { return (run *)(void *)apart; }

/* With its batch. */
static void end_run(ckiti_apart *apart) {
    run              *r = run_of(apart);
    const ckit_alloc *alloc = r->b->cache->alloc;
    ckiti_batch_free(r->b);
    ckiti_apart_fini(apart);
    ckiti_free(alloc, r, sizeof *r);
}

static void compute(ckiti_apart *apart) {
    const run *r = run_of(apart);
    ckiti_batch_run_with(r->b, r->loader, r->context);
}

/* Each call has its answer, an older value, or (`hard`) the failure to be in time. True when every one has something. */
static bool give_instead(ckiti_apart *apart, bool hard, void *caller) {
    const answers *a = caller;
    ckit_batch    *b = run_of(apart)->b;
    bool           all = true;
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

static bool has_lock(const ckiti_apart *apart) { return ckiti_batch_has_lock(((const run *)(const void *)apart)->b); }

static void move_seats(ckiti_apart *apart, void (*move)(ckiti_flights *flights, ckiti_seat *seat)) {
    ckiti_batch_move_seats(run_of(apart)->b, move);
}

static const ckiti_apart_kind many_calls = {
    .run = compute, .instead = give_instead, .end = end_run, .has_lock = has_lock, .move = move_seats};

static run *new_run(ckit_batch *b, ckit_batch_loader loader, void *context) {
    run *r = ckiti_alloc(b->cache->alloc, sizeof *r);
    if (r != NULL) {
        ckiti_apart_init(&r->apart, &many_calls, b->function);
        r->b = b;
        r->loader = loader;
        r->context = context;
    }
    return r;
}

static bool has_reentrant(const ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].op->seat.reentrant) {
            return true;
        }
    }
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

void ckiti_batch_in_time(ckit_batch *b, ckit_batch_loader loader, void *context, ckit_value *out, ckit_status *each,
                         ckit_error *first) {
    answers     a = {out, each, first};
    run        *r = ckiti_batch_go(b) != CKIT_OK && !has_reentrant(b) ? new_run(b, loader, context) : NULL;
    ckit_status st = r == NULL ? CKIT_MISS : ckiti_apart_compute(&r->apart, &a);
    if (st == CKIT_STALE) {
        return;
    }
    if (st == CKIT_MISS) {
        ckiti_batch_run_with(b, loader, context);
    }
    take(b, &a);
    if (r != NULL) {
        end_run(&r->apart);
    } else {
        ckiti_batch_free(b);
    }
}
