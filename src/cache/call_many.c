/* The two drivers of many calls as one: in the caller's thread, and in workers with a queue. */
#include "cache/batch.h"

#include <cachekit/value.h>

static const char where[] = "function";

/* ---- a batch with answers of its own ----------------------------------------------------------------------------- */

void ckiti_batch_free(ckit_batch *b) {
    const ckit_alloc *alloc = b->cache->alloc;
    size_t            count = b->count, room = count > 0 ? count : 1;
    ckiti_batch_fini(b);
    for (size_t i = 0; b->out != NULL && i < count; i++) {
        ckit_value_fini(&b->out[i]);
    }
    ckiti_free(alloc, b->out, room * sizeof b->out[0]);
    ckiti_free(alloc, b->answers, room * sizeof b->answers[0]);
    ckiti_free(alloc, b, sizeof *b);
}

static ckit_batch *new_batch(const ckit_batch_start *start) {
    const ckit_alloc *alloc = start->function->cache->alloc;
    ckit_batch       *b = ckiti_alloc_zeroed(alloc, 1, sizeof *b);
    size_t            room = start->count > 0 ? start->count : 1;
    if (b == NULL) {
        return NULL;
    }
    *b = (ckit_batch){.queued = {.poll = start->poll},
                      .ready = start->ready,
                      .context = start->context,
                      .function = start->function,
                      .cache = start->function->cache,
                      .args = start->args,
                      .copies = true,
                      .stop = start->stop,
                      .refreshes = start->refreshes,
                      .count = start->count};
    b->out = ckiti_alloc_zeroed(alloc, room, sizeof b->out[0]);
    b->answers = ckiti_alloc_zeroed(alloc, room, sizeof b->answers[0]);
    if (b->out == NULL || b->answers == NULL) {
        ckiti_batch_free(b);
        b = NULL;
    }
    return b;
}

/* ---- the blocking driver ----------------------------------------------------------------------------------------- */

static ckit_status run(ckit_batch *b) {
    ckiti_batch_take_news(b);
    for (;;) {
        ckit_status st = ckiti_batch_go(b);
        if (st != CKIT_PENDING) {
            return st;
        }
        if (!ckiti_batch_pause(b)) {
            return CKIT_E_CANCELLED;
        }
        ckiti_batch_resume(b);
    }
}

/* Where there is no loader for many, the function's own. `err` tells of the first failure. */
static ckit_status load_each(const ckit_function *function, ckit_batch_call *calls, size_t count, ckit_error *err) {
    for (size_t n = 0; n < count; n++) {
        ckit_error why = CKIT_ERROR_INIT;
        ckit_load  load = {.args = calls[n].args, .result = calls[n].result};
        calls[n].status = function->loader(function->context, &load, &why);
        calls[n].ttl_ms = load.ttl_ms;
        if (calls[n].status != CKIT_OK && err->status == CKIT_OK) {
            *err = why;
            if (why.status != calls[n].status) {
                ckit_fail(err, calls[n].status, where, "the function failed");
            }
        }
    }
    return CKIT_OK;
}

void ckiti_batch_run_with(ckit_batch *b, ckit_batch_loader loader, void *context) {
    while (run(b) == CKIT_COMPUTE) {
        ckit_error  why = CKIT_ERROR_INIT;
        ckit_status st = loader != NULL ? loader(context, b->loads.calls, b->missing, &why)
                                        : load_each(b->function, b->loads.calls, b->missing, &why);
        ckiti_batch_take_results(b, st, &why);
    }
}

static ckit_status check_many(const ckit_batch_start *start, ckit_batch_loader loader, const ckit_value *out,
                              const ckit_status *answers, ckit_error *err) {
    if (start->function == NULL || (start->count > 0 && (start->args == NULL || out == NULL || answers == NULL))) {
        return ckiti_there_is_no(err, where,
                                 start->function == NULL ? "function" : "array of arguments, of values or of answers");
    }
    return loader != NULL || start->function->loader != NULL
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_MISUSE, where, "this function has no loader, and none for many calls was given");
}

/* With answers of its own, and arguments that last: somebody else may have to go on with it. */
static ckit_status call_in_time(const ckit_batch_start *start, ckit_batch_loader loader, void *context, ckit_value *out,
                                ckit_status *answers, ckit_error *why) {
    ckit_batch *b = new_batch(start);
    ckit_status st = b != NULL
                         ? ckiti_batch_open(b, why)
                         : ckit_fail(why, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", start->count);
    if (st != CKIT_OK && b != NULL) {
        ckiti_batch_free(b);
    }
    if (st == CKIT_OK) {
        ckiti_batch_in_time(b, loader, context, out, answers, why);
    }
    return st;
}

static ckit_status call_here(const ckit_batch_start *start, ckit_batch_loader loader, void *context, ckit_value *out,
                             ckit_status *answers, ckit_error *why) {
    ckit_batch  b = {.function = start->function,
                     .cache = start->function->cache,
                     .args = start->args,
                     .count = start->count,
                     .out = out,
                     .answers = answers};
    ckit_status st = ckiti_batch_open(&b, why);
    if (st == CKIT_OK) {
        ckiti_batch_run_with(&b, loader, context);
        *why = b.first;
    }
    ckiti_batch_fini(&b);
    return st;
}

ckit_status ckit_call_many(ckit_function *function, ckit_args *const *args, size_t count, ckit_batch_loader loader,
                           void *context, ckit_value *out, ckit_status *answers, ckit_error *err) {
    const ckit_batch_start start = {.struct_size = sizeof start, .function = function, .args = args, .count = count};
    ckit_error             why = CKIT_ERROR_INIT;
    ckit_status            st = check_many(&start, loader, out, answers, &why);
    if (st == CKIT_OK) {
        for (size_t i = 0; i < count; i++) {
            ckit_value_fini(&out[i]);
        }
        const bool is_limited = function->soft_limit_ms != 0 || function->hard_limit_ms != 0;
        st = (is_limited ? call_in_time : call_here)(&start, loader, context, out, answers, &why);
    }
    for (size_t i = 0; st != CKIT_OK && answers != NULL && i < count; i++) {
        answers[i] = st;
    }
    if (why.status != CKIT_OK && err != NULL) {
        *err = why;
    }
    return why.status;
}

/* ---- the pollable driver ----------------------------------------------------------------------------------------- */

static ckit_batch *batch_of(ckiti_job *job) { return (ckit_batch *)(void *)((char *)job - offsetof(ckit_batch, work)); }

/* Ends a batch whose caller has freed it. */
static void end_abandoned(ckit_batch *b) {
    ckit_poll     *poll = b->queued.poll;
    ckit_function *function = b->function;
    ckiti_batch_free(b);
    ckiti_poll_returned(poll, function);
}

static void end_in_background(ckiti_job *job) { end_abandoned(batch_of(job)); }

static void answer(ckit_batch *b, ckit_status st) {
    if (!ckiti_poll_enqueue(&b->queued, st)) {
        end_abandoned(b);
    }
}

/* A worker goes on, then; without one, everything without the store. Under the poll's lock, so that who frees the batch
 * finds it either in the workers' queue or not yet handed to it. */
static void go_on_later(ckit_batch *b, uint64_t due_ms) {
    ckit_poll *poll = b->queued.poll;
    pthread_mutex_lock(&poll->mu);
    bool abandoned = b->queued.cancelled;
    b->queued.place = CKITI_PLACE_BACKGROUND;
    bool queued = !abandoned && ckiti_workers_submit(&b->cache->workers, &b->work, due_ms) == CKIT_OK;
    if (queued && ckiti_batch_has_news(b)) { /* told before there was a job to hurry */
        ckiti_workers_hurry(&b->cache->workers, &b->work);
    }
    pthread_mutex_unlock(&poll->mu);
    if (abandoned) {
        end_abandoned(b);
    } else if (!queued) {
        answer(b, ckiti_batch_go_without(b));
    }
}

static void work(ckiti_job *job) {
    ckit_batch *b = batch_of(job);
    if (ckiti_poll_is_abandoned(&b->queued)) {
        if (b->settles) { /* they have been handed over */
            ckiti_batch_settle(b);
        }
        end_abandoned(b);
        return;
    }
    ckiti_batch_resume(b);
    ckit_status st = ckiti_batch_go(b);
    if (st == CKIT_PENDING) {
        go_on_later(b, ckiti_batch_begin_pause(b));
    } else {
        answer(b, st);
    }
}

static void deliver(ckiti_queued *queued) {
    ckit_batch *b = (ckit_batch *)(void *)queued;
    b->hands_over = false;
    b->ready(b->context, b, queued->answer);
}

/* A store that is left alone is asked by nobody, unless somebody minds. */
static bool is_shut(const ckit_batch *b) {
    return !b->function->fail_closed && b->function->fail_safe_ms == 0 && ckiti_guard_shuts(b->cache->guard);
}

/* In the caller's thread, which never waits. */
static ckit_status go_on(ckit_batch *b) {
    ckiti_batch_take_news(b);
    ckit_status st = CKIT_PENDING;
    if (!ckiti_batch_needs_store(b)) {
        st = ckiti_batch_go(b);
    }
    if (st == CKIT_PENDING) {
        go_on_later(b, ckiti_batch_needs_store(b) ? 0 : ckiti_batch_begin_pause(b));
    }
    return st;
}

void ckit_batch_start_init(ckit_batch_start *start, size_t struct_size) {
    memset(start, 0, struct_size);
    start->struct_size = struct_size;
}

/* It was begun by the parent of this process, whose poll brings nothing any more. */
static bool is_inherited(const ckit_batch *b) { return b->queued.poll != NULL && b->queued.poll->inherited; }

/* From here on it blocks. */
static void disinherit(ckit_batch *b) {
    ckiti_poll_reclaim_inherited(&b->queued);
    ckiti_batch_forget_locks(b); /* the parent's to let go */
    b->queued.poll = NULL;
}

/* It waited for one of the parent's workers, so nobody was at work with it: it is its caller's again, or nobody's. */
static void left_behind(ckiti_job *job) {
    ckit_batch *b = batch_of(job);
    if (b->queued.cancelled || job->run == end_in_background) {
        disinherit(b);
        ckiti_batch_free(b);
    } else {
        b->queued.place = CKITI_PLACE_HELD;
    }
}

static ckit_status check_start(const ckit_batch_start *start, ckit_error *err) {
    if (start->function == NULL || (start->args == NULL && start->count > 0)) {
        return ckiti_there_is_no(err, where, start->function == NULL ? "function" : "array of arguments");
    }
    if (start->poll != NULL && start->ready == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a batch with a poll needs 'ready'");
    }
    if (start->poll != NULL && start->poll->inherited) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "this poll was opened before fork: a child opens its own");
    }
    return CKIT_OK;
}

static ckit_status leave_to_another_thread(ckit_batch *b) {
    ckiti_batch_move_seats(b, ckiti_flight_move_away); /* this thread may ask again before the other one goes on */
    return CKIT_PENDING;
}

static ckit_status run_or_end(ckit_batch *b, ckit_batch **out) {
    ckit_status st = run(b);
    if (st == CKIT_E_CANCELLED) {
        *out = NULL;
        ckiti_batch_free(b);
    }
    return st;
}

/* Does not wait with a poll, or apart. */
static ckit_status begin(const ckit_batch_start *start, ckit_batch **out, ckit_error *err) {
    ckit_batch *b = new_batch(start);
    if (b == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", start->count);
    }
    ckit_status st = ckiti_batch_open(b, err);
    if (st != CKIT_OK) {
        ckiti_batch_free(b);
        return st;
    }
    b->queued.deliver = deliver;
    b->work.run = work;
    b->work.dropped = left_behind;
    *out = b; /* first: another thread may dispatch it before this one returns */
    if (start->poll == NULL) {
        return start->apart && !ckiti_batch_is_done(b) ? leave_to_another_thread(b) : run_or_end(b, out);
    }
    if (is_shut(b)) {
        ckiti_batch_skip_store(b);
    }
    return go_on(b);
}

ckit_status ckit_begin_many(const ckit_batch_start *given, ckit_batch **out, ckit_error *err) {
    ckit_batch_start start;
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the batch");
    }
    *out = NULL;
    if (!ckiti_take_sized(&start, sizeof start, given)) {
        return ckiti_fail_unsized(err, where, given, "CKIT_BATCH_START_INIT");
    }
    ckit_status st = check_start(&start, err);
    return st == CKIT_OK ? begin(&start, out, err) : st;
}

ckit_status ckit_batch_wait(ckit_batch *b) {
    if (b == NULL || b->queued.poll != NULL) {
        return CKIT_E_MISUSE;
    }
    ckiti_batch_move_seats(b, ckiti_flight_move_here);
    return run(b);
}

ckit_batch_call *ckit_batch_missing(ckit_batch *b, size_t *count) {
    const size_t missing = b != NULL ? b->missing : 0;
    if (count != NULL) {
        *count = missing;
    }
    return missing > 0 ? b->loads.calls : NULL;
}

ckit_status ckit_finish_many(ckit_batch *b, ckit_status status, ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    if (b == NULL || b->missing == 0) {
        return b == NULL ? ckiti_there_is_no(err, where, "batch")
                         : ckit_fail(err, CKIT_E_MISUSE, where, "this batch does not wait for results");
    }
    if (is_inherited(b)) {
        disinherit(b);
    }
    ckiti_batch_take_results(b, status, err != NULL ? err : &why);
    b->hands_over = b->settles && ckiti_batch_needs_store(b);
    return b->queued.poll == NULL ? run(b) : go_on(b);
}

static ckit_status refuse_index(const ckit_batch *b, size_t index, const ckit_value *out, ckit_error *err) {
    if (b == NULL || out == NULL) {
        return ckiti_there_is_no(err, where, b == NULL ? "batch" : "place for the value");
    }
    return ckit_fail(err, CKIT_E_MISUSE, where, "call %zu of a batch of %zu", index, b->count);
}

ckit_status ckit_batch_take(ckit_batch *b, size_t index, ckit_value *out, ckit_error *err) {
    if (b == NULL || out == NULL || index >= b->count) {
        return refuse_index(b, index, out, err);
    }
    if (b->rows[index].state != CKITI_ROW_ANSWERED) {
        return CKIT_PENDING;
    }
    ckit_status st = b->answers[index];
    if (st == CKIT_OK) {
        ckiti_value_move(out, &b->out[index]);
    } else if (st < CKIT_E_FIRST) {
        return st;
    } else if (b->first.status != st) {
        ckit_fail(err, st, where, "one call of a batch: %s", ckit_status_text(st));
    } else if (err != NULL) {
        *err = b->first;
    }
    return st;
}

/* Another of what a call has got. */
static ckit_status lend_answer(const ckit_batch *b, size_t i, ckit_value *out, ckit_error *err) {
    ckit_status st = b->answers[i];
    return st == CKIT_OK ? ckiti_value_lend_or_copy(b->function, &b->out[i], out)
                         : ckit_fail(err, st, where, "one call of a batch: %s", ckit_status_text(st));
}

ckit_status ckit_batch_overdue(ckit_batch *b, size_t index, bool hard, ckit_value *out, ckit_error *err) {
    if (b == NULL || out == NULL || index >= b->count) {
        return refuse_index(b, index, out, err);
    }
    const size_t own = b->rows[index].twin != 0 ? b->rows[index].twin - 1 : index;
    pthread_mutex_lock(&b->mu); /* somebody may just be ending it; an answer whose operation is gone stays as it is */
    ckit_op    *op = b->rows[own].op;
    ckit_status st = op != NULL ? ckiti_op_overdue(op, hard, out, err) : lend_answer(b, own, out, err);
    pthread_mutex_unlock(&b->mu);
    return st;
}

/* Letting locks of the store go takes time. */
static bool leave_end_to_worker(ckit_batch *b) {
    ckit_poll     *poll = b->queued.poll;
    ckit_function *function = b->function;
    ckiti_poll_leave(poll, function);
    b->work.run = end_in_background;
    if (ckiti_workers_submit(&b->cache->workers, &b->work, 0) == CKIT_OK) {
        return true;
    }
    ckiti_poll_returned(poll, function);
    return false;
}

void ckit_batch_free(ckit_batch *b) {
    if (b == NULL) {
        return;
    }
    if (ckiti_is_pollable(&b->queued)) {
        if (!ckiti_poll_reclaim(&b->queued, b->function, false, &b->work, b->hands_over) ||
            (ckiti_batch_has_lock(b) && leave_end_to_worker(b))) {
            return;
        }
    } else if (is_inherited(b)) {
        if (b->queued.place == CKITI_PLACE_BACKGROUND) {
            return; /* a thread of the parent was at work with it: nobody knows how far it was */
        }
        disinherit(b);
    }
    ckiti_batch_free(b);
}
